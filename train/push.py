"""``python -m facesep.train.push`` as a script."""

from facesep.train.push import main

if __name__ == "__main__":
    raise SystemExit(main())
