"""``python -m facesep.eval.speed`` as a script."""

from facesep.eval.speed import main

if __name__ == "__main__":
    raise SystemExit(main())
