"""``python -m facesep.eval.refinement`` as a script."""

from facesep.eval.refinement import main

if __name__ == "__main__":
    raise SystemExit(main())
