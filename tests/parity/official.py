"""Contents of official weight files, in their layouts."""

from __future__ import annotations

import torch


def hollow(rows) -> dict[str, torch.Tensor]:
    """Zeros of the right shapes that take no room in a pickle."""
    return {key: torch.zeros(()).expand(shape) for key, shape, *_ in rows}


def vgg19_state() -> dict[str, torch.Tensor]:
    """torchvision's layout, written out: 16 convolutions and three linear layers."""
    shapes, index, inputs = {}, 0, 3
    for depth, channels in ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)):
        for _ in range(depth):
            shapes[f"features.{index}"] = (channels, inputs, 3, 3)
            index, inputs = index + 2, channels
        index += 1
    shapes |= {"classifier.0": (16, 25088), "classifier.3": (16, 16), "classifier.6": (10, 16)}
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.zeros(()).expand(shape)
        state[f"{name}.bias"] = torch.full(shape[:1], 0.5)
    return state
