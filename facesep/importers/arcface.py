"""insightface's ArcFace trunks (backbone.pth of arcface_torch)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from facesep.errors import CheckpointError
from facesep.importers.files import Imported, checked, read, tensors, unwrapped
from facesep.nets.official.arcface import DEPTHS, ArcFace

TITLE = "ArcFace recognition network (insightface)"
LICENCE = "code MIT; weights for non-commercial research"
MARKER = "layer1.0.prelu.weight"


def _name(state: dict) -> str | None:
    depths = tuple(
        len({m[1] for key in state if (m := re.match(rf"layer{stage}\.(\d+)\.", key))})
        for stage in (1, 2, 3, 4)
    )
    return next((name for name, known in DEPTHS.items() if known == depths), None)


def matches(tree: Any) -> str | None:
    """What the file is, if it is one of these."""
    state, prefix, _ = unwrapped(tensors(tree, "state_dict"), MARKER)
    name = _name(state)
    return None if prefix is None or name is None else f"iresnet{name[1:]}"


def load(path: str | Path) -> Imported:
    """Reads a trunk.

    Raises:
        CheckpointError: if it is another file.
    """
    state, prefix, _ = unwrapped(tensors(read(path), "state_dict"), MARKER)
    name = _name(state)
    if prefix is None or name is None:
        raise CheckpointError(f"{path} is not an ArcFace trunk of insightface: expected {MARKER} and r18, "
                              "r50 or r100")  # fmt: skip
    with torch.device("meta"):
        table = ArcFace(name).state_dict()
    return Imported(f"arcface-{name}", checked(path, state, table, f"insightface's iresnet{name[1:]}"))
