"""``python -m facesep.eval.ablation`` as a script."""

from facesep.eval.ablation import main

if __name__ == "__main__":
    raise SystemExit(main())
