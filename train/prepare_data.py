"""``python -m facesep.train.prepare_data`` as a script."""

from facesep.train.prepare_data import main

if __name__ == "__main__":
    raise SystemExit(main())
