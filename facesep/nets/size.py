"""How large a network is: parameters, and multiply-adds of one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Size:
    """Size of a network.

    Attributes:
        parameters: number of learned values.
        macs: multiply-adds of convolutions and matrix products in one call.
    """

    parameters: int
    macs: int

    def __str__(self) -> str:
        return f"{self.parameters / 1e6:.2f} M parameters, {self.macs / 1e9:.2f} G multiply-adds"


def parameters(module: nn.Module) -> int:
    """Number of learned values of a module."""
    return sum(p.numel() for p in module.parameters())


def count(module: nn.Module, *inputs: Any, **options: Any) -> Size:
    """Runs ``module(*inputs, **options)`` once and counts.

    Works on the meta device too, where it costs nothing.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(*inputs, **options)
    return Size(parameters(module), counter.get_total_flops() // 2)
