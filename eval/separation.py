"""``python -m facesep.eval.separation`` as a script."""

from facesep.eval.separation import main

if __name__ == "__main__":
    raise SystemExit(main())
