"""``python -m facesep.train.import_weights`` as a script."""

from facesep.train.import_weights import main

if __name__ == "__main__":
    raise SystemExit(main())
