"""Photo detail: the photo's own pixels, moved by the model's geometry and recoloured by its renders.

A ``facesep.detail.portrait.Portrait`` is made by ``facesep.FaceSep.portrait``, edited like codes,
and rendered by ``facesep.FaceSep.render``; docs/detail.md describes how it works.
"""

from facesep.detail.portrait import Frame, Portrait
from facesep.detail.source import Source

__all__ = ["Frame", "Portrait", "Source"]
