"""From a photo to the canonical face: detection, five points, crop.

from facesep.faces import align, find_faces

faces = find_faces(photo)              # largest first
aligned = align(photo, face=0)         # .image, .crop, .face, .points, .warnings
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facesep.faces.alignment import align, find_faces
    from facesep.faces.crop import Crop
    from facesep.faces.types import Aligned, Face

__all__ = ["Aligned", "Crop", "Face", "align", "find_faces"]

_HOMES = {
    "Aligned": "types",
    "Crop": "crop",
    "Face": "types",
    "align": "alignment",
    "find_faces": "alignment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"facesep.faces.{_HOMES[name]}"), name)
