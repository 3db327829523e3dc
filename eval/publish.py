"""``python -m facesep.eval.publish`` as a script."""

from facesep.eval.publish import main

if __name__ == "__main__":
    raise SystemExit(main())
