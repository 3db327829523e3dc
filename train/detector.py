"""``python -m facesep.train.detector`` as a script."""

from facesep.train.detector import main

if __name__ == "__main__":
    raise SystemExit(main())
