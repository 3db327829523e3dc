"""``python -m facesep.eval.parsing`` as a script."""

from facesep.eval.parsing import main

if __name__ == "__main__":
    raise SystemExit(main())
