"""``python -m facesep.eval.gallery`` as a script."""

from facesep.eval.gallery import main

if __name__ == "__main__":
    raise SystemExit(main())
