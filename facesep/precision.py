"""Full precision for places, poses and light while networks compute in bfloat16."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P, R = ParamSpec("P"), TypeVar("R")


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products in bfloat16; emulated they take minutes."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Computes a function without autocast, on the device of its tensors; without any it is the CPU.

    Autocast would round matrix products to eight bits. A camera ten decimetres away would then stand on a
    grid of 0.06, which is three pixels of a 128-pixel image, and a face's points would move by a quarter of
    a pixel, which moves what is encoded.
    """

    @functools.wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> R:
        values = (*args, *kwargs.values())
        device = next((value.device.type for value in values if isinstance(value, Tensor)), "cpu")
        if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
            return function(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return exact
