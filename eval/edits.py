"""``python -m facesep.eval.edits`` as a script."""

from facesep.eval.edits import main

if __name__ == "__main__":
    raise SystemExit(main())
