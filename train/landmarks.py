"""``python -m facesep.train.landmarks`` as a script."""

from facesep.train.landmarks import main

if __name__ == "__main__":
    raise SystemExit(main())
