"""``python -m facesep.train.em`` as a script."""

from facesep.train.em import main

if __name__ == "__main__":
    raise SystemExit(main())
