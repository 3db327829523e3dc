"""``python -m facesep.eval.false_alarms`` as a script."""

from facesep.eval.false_alarms import main

if __name__ == "__main__":
    raise SystemExit(main())
