"""facesep: take a real face photo apart into seven codes, swap them, render from new views."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facesep.codes import ATTRIBUTES, CODE_SIZES, Attribute, Codes
    from facesep.detail import Portrait
    from facesep.errors import (
        CheckpointError,
        CodesError,
        ConfigError,
        FaceError,
        FaceSepError,
        HubError,
        ImageError,
        LyingPhotoError,
        ManyFacesError,
        NoFaceError,
        PhotoWarning,
        SmallFaceError,
        TurnedFaceError,
        VideoError,
    )
    from facesep.model import FaceSep
    from facesep.saving import save

__version__ = "0.2.0"

_HOMES = {
    "save": "saving",
    "FaceSep": "model",
    "Portrait": "detail",
    **dict.fromkeys(("ATTRIBUTES", "CODE_SIZES", "Attribute", "Codes"), "codes"),
    **dict.fromkeys(
        (
            "CheckpointError",
            "CodesError",
            "ConfigError",
            "FaceError",
            "FaceSepError",
            "HubError",
            "ImageError",
            "LyingPhotoError",
            "ManyFacesError",
            "NoFaceError",
            "PhotoWarning",
            "SmallFaceError",
            "TurnedFaceError",
            "VideoError",
        ),
        "errors",
    ),
}
__all__ = [
    "ATTRIBUTES",
    "Attribute",
    "CODE_SIZES",
    "CheckpointError",
    "Codes",
    "CodesError",
    "ConfigError",
    "FaceError",
    "FaceSep",
    "FaceSepError",
    "HubError",
    "ImageError",
    "LyingPhotoError",
    "ManyFacesError",
    "NoFaceError",
    "PhotoWarning",
    "Portrait",
    "SmallFaceError",
    "TurnedFaceError",
    "VideoError",
    "__version__",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"facesep.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
