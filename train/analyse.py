"""``python -m facesep.train.analyse`` as a script."""

from facesep.train.analyse import main

if __name__ == "__main__":
    raise SystemExit(main())
