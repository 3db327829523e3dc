"""``python -m facesep.train.pretrain_heads`` as a script."""

from facesep.train.pretrain_heads import main

if __name__ == "__main__":
    raise SystemExit(main())
