"""``python -m facesep.eval.fit`` as a script."""

from facesep.eval.fit import main

if __name__ == "__main__":
    raise SystemExit(main())
