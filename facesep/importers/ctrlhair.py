"""CtrlHair's hair shape encoder, from its own checkpoint or from HairFastGAN's mask_generator.pth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from facesep.importers.files import Imported, checked, read, tensors, unwrapped
from facesep.nets.official.hair import HairEncoder

TITLE = "CtrlHair hair shape encoder"
LICENCE = "no licence stated (all rights reserved); trained on non-commercial data"
MARKER = "hair_encoder.layers.0.conv.weight"
OTHER_PARTS = ("face_encoder.", "hair_decoder.", "face_decoder.")
"""The other networks of the generator, which facesep does not use."""


def _state(tree: Any) -> tuple[dict, str | None, list[str]]:
    return unwrapped(tensors(tree, "Model_G", "state_dict"), MARKER)


def matches(tree: Any) -> str | None:
    """What the file is, if it is one of these."""
    state, prefix, _ = _state(tree)
    if prefix is None:
        return None
    return "whole generator" if any(key.startswith(OTHER_PARTS) for key in state) else "hair encoder alone"


def load(path: str | Path) -> Imported:
    """Reads the hair encoder out of the generator.

    Raises:
        CheckpointError: if it is another file.
    """
    state, _, _ = _state(read(path))
    left = [key for key in state if key.startswith(OTHER_PARTS)]
    state = {key.removeprefix("hair_encoder."): value for key, value in state.items() if key not in left}
    with torch.device("meta"):
        table = HairEncoder().state_dict()
    state = checked(path, state, table, "CtrlHair's generator (Model_G with hair_encoder)")
    notes = [f"left out {len(left)} tensors of the generator's other parts"] if left else []
    return Imported("hair", state, notes)
