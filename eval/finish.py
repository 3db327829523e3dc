"""``python -m facesep.eval.finish`` as a script."""

from facesep.eval.finish import main

if __name__ == "__main__":
    raise SystemExit(main())
