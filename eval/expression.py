"""``python -m facesep.eval.expression`` as a script."""

from facesep.eval.expression import main

if __name__ == "__main__":
    raise SystemExit(main())
