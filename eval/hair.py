"""``python -m facesep.eval.hair`` as a script."""

from facesep.eval.hair import main

if __name__ == "__main__":
    raise SystemExit(main())
