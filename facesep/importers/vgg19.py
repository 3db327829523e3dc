"""torchvision's VGG19 (vgg19-dcbb9e9d.pth), for the perceptual loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from facesep.importers.files import Imported, checked, read, tensors, unwrapped
from facesep.nets.official.vgg19 import VGG19

TITLE = "VGG19 of torchvision"
LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet"
MARKER = "features.0.weight"
UNUSED = tuple(f"features.{n}." for n in (30, 32, 34)) + ("classifier.",)
"""Layers beyond the last tap."""


def matches(tree: Any) -> str | None:
    """What the file is, if it is one of these."""
    state, prefix, _ = unwrapped(tensors(tree, "state_dict"), MARKER)
    last = state.get("features.34.weight")
    if prefix is None or last is None or last.ndim != 4 or "features.1.weight" in state:
        return None  # VGG16 ends earlier, a variant with batch norms has weights between convolutions
    return "image classifier"


def load(path: str | Path) -> Imported:
    """Reads the convolutions up to the last tap.

    Raises:
        CheckpointError: if it is another file.
    """
    state, _, _ = unwrapped(tensors(read(path), "state_dict"), MARKER)
    left = [key for key in state if key.startswith(UNUSED)]
    state = {key: value for key, value in state.items() if key not in left}
    with torch.device("meta"):
        table = VGG19().state_dict()
    state = checked(path, state, table, "torchvision's VGG19")
    return Imported("vgg19", state, [f"left out {len(left)} tensors beyond the last tap"])
