"""``python -m facesep.eval.sheet`` as a script."""

from facesep.eval.sheet import main

if __name__ == "__main__":
    raise SystemExit(main())
