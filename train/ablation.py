"""``python -m facesep.train.ablation`` as a script."""

from facesep.train.ablation import main

if __name__ == "__main__":
    raise SystemExit(main())
