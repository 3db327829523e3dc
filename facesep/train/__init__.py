"""The training commands: ``python -m facesep.train.em``, or ``train/em.py`` in a clone; extra ``train``."""
