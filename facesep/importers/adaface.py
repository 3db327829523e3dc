"""AdaFace's recognition trunks, from the original Lightning files or from CVLface."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import torch

from facesep.errors import CheckpointError
from facesep.importers.files import Imported, checked, read, tensors, unwrapped
from facesep.nets.official.iresnet import DEPTHS, IResNet

TITLE = "AdaFace recognition trunk"
LICENCE = "code MIT; weights trained on research-only data: non-commercial"
MARKER = "input_layer.0.weight"
FIRST = "input_layer.0.weight"


def _trunk(state: dict) -> str | None:
    """Name of the trunk with as many blocks."""
    numbers = {int(m[1]) for key in state if (m := re.match(r"body\.(\d+)\.res_layer", key))}
    return next((name for name, depths in DEPTHS.items() if sum(depths) == len(numbers)), None)


def matches(tree: Any) -> str | None:
    """What the file is, if it is one of these."""
    state, prefix, _ = unwrapped(tensors(tree, "state_dict"), MARKER)
    name = _trunk(state)
    if prefix is None or name is None:
        return None
    colour = _colour(prefix)
    return f"{name.upper().replace('IR', 'IR-')}, " + (
        f"trained on {colour.upper()}" if colour else "order of the colour channels unknown"
    )


def _colour(prefix: str) -> Literal["rgb", "bgr"] | None:
    """The original files wrap the trunk as ``model.`` and want BGR; CVLface says ``net.`` and wants RGB."""
    if "net." in prefix:
        return "rgb"
    return "bgr" if prefix == "model." else None


def load(path: str | Path, colour: Literal["rgb", "bgr"] | None = None) -> Imported:
    """Reads a trunk; the result wants RGB.

    Args:
        path: ``.ckpt``, ``.pt`` or ``.safetensors``.
        colour: order of the channels that the weights were trained on; needed where the file does not
            tell.

    Raises:
        CheckpointError: if it is another file, or the order of the channels is unknown.
    """
    state, prefix, others = unwrapped(tensors(read(path), "state_dict"), MARKER)
    name = _trunk(state)
    if prefix is None or name is None:
        raise CheckpointError(
            f"{path} is not an AdaFace trunk: expected {MARKER} and the blocks of one of {', '.join(DEPTHS)}"
        )
    colour = colour or _colour(prefix)
    if colour is None:
        raise CheckpointError(
            f"{path} does not tell whether its network wants RGB or BGR: add --colour bgr for weights of "
            "the AdaFace repository, --colour rgb for CVLface's"
        )
    with torch.device("meta"):
        table = IResNet(name).state_dict()
    state = checked(path, state, table, f"an AdaFace {name} trunk")
    notes = [f"left out {len(others)} tensors outside the trunk ({', '.join(others[:3])})"] if others else []
    if colour == "bgr":
        state[FIRST] = state[FIRST].flip(1)
        notes.append("trained on BGR: the input channels of the first convolution were turned to RGB")
    return Imported(f"adaface-{name}", state, notes)
