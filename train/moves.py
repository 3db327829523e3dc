"""``python -m facesep.train.moves`` as a script."""

from facesep.train.moves import main

if __name__ == "__main__":
    raise SystemExit(main())
