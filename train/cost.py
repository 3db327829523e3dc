"""``python -m facesep.train.cost`` as a script."""

from facesep.train.cost import main

if __name__ == "__main__":
    raise SystemExit(main())
