"""``python -m facesep.train.parsing`` as a script."""

from facesep.train.parsing import main

if __name__ == "__main__":
    raise SystemExit(main())
