"""``python -m facesep.eval.representation`` as a script."""

from facesep.eval.representation import main

if __name__ == "__main__":
    raise SystemExit(main())
