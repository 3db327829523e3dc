"""The evaluation commands: ``python -m facesep.eval.all``, or ``eval/all.py`` in a clone; extra ``eval``."""
