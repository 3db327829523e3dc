"""``python -m facesep.eval.detail_sheet`` as a script."""

from facesep.eval.detail_sheet import main

if __name__ == "__main__":
    raise SystemExit(main())
