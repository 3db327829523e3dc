"""``python -m facesep.eval.watermark`` as a script."""

from facesep.eval.watermark import main

if __name__ == "__main__":
    raise SystemExit(main())
