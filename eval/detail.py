"""``python -m facesep.eval.detail`` as a script."""

from facesep.eval.detail import main

if __name__ == "__main__":
    raise SystemExit(main())
