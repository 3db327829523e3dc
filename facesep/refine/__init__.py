"""Refinement by diffusion: renders in, pictures with the detail of photos out. Needs ``facesep[refine]``.

The classes are loaded when they are asked for, so that facesep runs without diffusers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from facesep.errors import ConfigError

if TYPE_CHECKING:
    from facesep.refine.networks import LayeredUNet, SwinIREstimator
    from facesep.refine.pipeline import FaceRefiner

__all__ = ["FaceRefiner", "LayeredUNet", "SwinIREstimator"]

FOLDER, INDEX = "refiner", "model_index.json"
"""Where a refiner stands in a checkpoint, and the file that says that there is one."""

_HOMES = {"FaceRefiner": "pipeline", "LayeredUNet": "networks", "SwinIREstimator": "networks"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"facesep.refine.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "diffusers":
            raise
        raise ConfigError("refinement needs diffusers: pip install 'facesep[refine]'") from error
