"""``python -m facesep.eval.table2`` as a script."""

from facesep.eval.table2 import main

if __name__ == "__main__":
    raise SystemExit(main())
