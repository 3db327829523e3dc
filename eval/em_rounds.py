"""``python -m facesep.eval.em_rounds`` as a script."""

from facesep.eval.em_rounds import main

if __name__ == "__main__":
    raise SystemExit(main())
