"""``python -m facesep.eval.figures`` as a script."""

from facesep.eval.figures import main

if __name__ == "__main__":
    raise SystemExit(main())
