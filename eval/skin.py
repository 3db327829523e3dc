"""``python -m facesep.eval.skin`` as a script."""

from facesep.eval.skin import main

if __name__ == "__main__":
    raise SystemExit(main())
