"""``python -m facesep.train.refiner`` as a script."""

from facesep.train.refiner import main

if __name__ == "__main__":
    raise SystemExit(main())
