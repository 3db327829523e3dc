"""``python -m facesep.train.finish`` as a script."""

from facesep.train.finish import main

if __name__ == "__main__":
    raise SystemExit(main())
