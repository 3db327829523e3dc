"""Deep3DFaceRecon's coefficient regressor (both releases: epoch_20.pth of 2021 and of April 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from facesep.importers.files import Imported, checked, read, tensors, unwrapped
from facesep.nets.official.rnet import RNet

TITLE = "Deep3DFaceRecon R-Net"
LICENCE = "code MIT; weights trained on research-only data: non-commercial"
MARKER = "backbone.conv1.weight"


def matches(tree: Any) -> str | None:
    """What the file is, if it is one of these."""
    state, prefix, _ = unwrapped(tensors(tree, "net_recon"), MARKER)
    if prefix is None or "final_layers.6.bias" not in state:
        return None
    return "ResNet-50 with seven heads, 257 coefficients"


def load(path: str | Path) -> Imported:
    """Reads the network; optimiser states beside it are ignored.

    Raises:
        CheckpointError: if it is another file.
    """
    state, _, others = unwrapped(tensors(read(path), "net_recon"), MARKER)
    with torch.device("meta"):
        table = RNet().state_dict()
    state = checked(path, state, table, "Deep3DFaceRecon's network (net_recon of epoch_20.pth)")
    return Imported("rnet", state, [f"left out {', '.join(others)}"] if others else [])
