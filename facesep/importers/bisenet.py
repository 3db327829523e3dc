"""The face parser BiSeNet (79999_iter.pth, faceparsing_model.pth and parsing_bisenet.pth are one file)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from facesep.importers.files import Imported, checked, read, tensors, unwrapped
from facesep.nets.official.bisenet import BiSeNet

TITLE = "BiSeNet face parser"
LICENCE = "code MIT; weights trained on CelebAMask-HQ: non-commercial"
MARKER = "cp.resnet.conv1.weight"


def matches(tree: Any) -> str | None:
    """What the file is, if it is one of these."""
    state, prefix, _ = unwrapped(tensors(tree, "state_dict"), MARKER)
    classes = state.get("conv_out.conv_out.weight")
    return None if prefix is None or classes is None else f"{len(classes)} classes"


def load(path: str | Path) -> Imported:
    """Reads the parser.

    Raises:
        CheckpointError: if it is another file.
    """
    state, _, _ = unwrapped(tensors(read(path), "state_dict"), MARKER)
    with torch.device("meta"):
        table = BiSeNet().state_dict()
    return Imported("bisenet", checked(path, state, table, "the BiSeNet face parser (79999_iter.pth)"))
