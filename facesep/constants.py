"""Constant tensors, made once for each device, so that no call waits for a copy from the processor."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

Values = tuple["float | Values", ...]

_kept: dict[Hashable, Tensor] = {}


def constant(values: Values, like: Tensor) -> Tensor:
    """Numbers as a tensor, which must not be changed in place.

    Args:
        values: numbers, or tuples of them for more dimensions.
        like: gives the number format and the device.
    """
    dtype, device = like.dtype, like.device
    return keep((values, dtype, device), lambda: torch.tensor(values, dtype=dtype, device=device))


def keep(key: Hashable, make: Callable[[], Tensor]) -> Tensor:
    """The tensor of a key, made at its first use and kept; it must not be changed in place.

    It is kept for good, since recorded passes (``facesep.backends.graphs``) read its memory.
    """
    found = _kept.get(key)
    if found is None:
        found = make()
        # Not what stands for a tensor while a graph is traced, and not what training could not use.
        if type(found) is Tensor and not found.is_inference():
            _kept[key] = found
    return found
