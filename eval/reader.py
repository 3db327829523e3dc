"""``python -m facesep.eval.reader`` as a script."""

from facesep.eval.reader import main

if __name__ == "__main__":
    raise SystemExit(main())
