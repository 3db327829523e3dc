"""``python -m facesep.train.skin`` as a script."""

from facesep.train.skin import main

if __name__ == "__main__":
    raise SystemExit(main())
