"""``python -m facesep.eval.all`` as a script."""

from facesep.eval.all import main

if __name__ == "__main__":
    raise SystemExit(main())
