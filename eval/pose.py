"""``python -m facesep.eval.pose`` as a script."""

from facesep.eval.pose import main

if __name__ == "__main__":
    raise SystemExit(main())
