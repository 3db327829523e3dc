"""Golden vectors: weights by rule, stored inputs, and outputs of the official code.

The files in ``data`` were made by running each project's official code on the CPU in float32; the code
itself is not needed. Every weight tensor is a function of its key, shape and kind alone, so no weight
file is needed either.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

DATA = Path(__file__).parent / "data"
SEED = 20240101


def weight(key: str, shape: list[int], kind: str, gain: float | None) -> Tensor:
    """The weight tensor of a key."""
    if kind == "zero":
        return torch.zeros(shape, dtype=torch.int64)
    t = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if kind == "kernel":
        return t * (gain / t[0].numel()) ** 0.5
    if kind == "var":
        return 0.5 + t.abs()
    return {"mean": 0.0, "bias": 0.0, "scale": 1.0, "prelu": 0.25}[kind] + {"prelu": 0.05}.get(kind, 0.1) * t


def normal(number: int, *shape: int) -> Tensor:
    """Standard normal input of the rule."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(SEED + number))


def uniform(number: int, *shape: int) -> Tensor:
    """Uniform input of the rule."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(SEED + number))


class Golden:
    """One component: its description, stored tensors, weights and tolerances."""

    def __init__(self, name: str) -> None:
        self.meta: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
        self.tensors = load_file(DATA / f"{name}.safetensors")
        self.checked: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def rows(self) -> list[tuple[str, list[int], str, float | None]]:
        """Key, shape, kind and gain of every tensor that the rule generates."""
        return [
            (key, shape, kind, gain) for key, shape, _, kind, gain in self.meta["keys"] if kind != "fixed"
        ]

    def weights(self) -> dict[str, Tensor]:
        """The state dict of the official module, without buffers that are not learned."""
        weights = {key: weight(key, shape, kind, gain) for key, shape, kind, gain in self.rows()}
        for key, first in self.meta["weights_check"]["first4"].items():
            assert torch.allclose(weights[key].flatten()[:4], torch.tensor(first), atol=2e-6), key
        return weights

    def error(self, name: str, value: Tensor | np.ndarray) -> float:
        """Largest difference from the stored result, as a multiple of its tolerance."""
        value = torch.as_tensor(value)
        stored = self.tensors[name]
        assert value.shape == stored.shape, (name, value.shape, stored.shape)
        return ((value.double() - stored.double()).abs().max() / self.meta["suggested_atol"][name]).item()

    def check(self, name: str, value: Tensor | np.ndarray, times: float = 1) -> None:
        """Asserts that a result agrees within so many times the file's own tolerance."""
        error = self.error(name, value)
        assert error <= times, f"{name}: {error:.3g} times its tolerance"
        self.checked.add(name)

    def check_all_done(self) -> None:
        """Asserts that every stored result with a tolerance was compared."""
        assert self.checked == set(self.meta["suggested_atol"])

    def probes(self, module: nn.Module, rename: Callable[[str], str] = lambda name: name) -> None:
        """Compares the outputs of submodules in the next call.

        Args:
            module: the network.
            rename: official name of a submodule to ours.
        """
        for name in [n for n in self.tensors if n.startswith("probe.")]:
            part = module.get_submodule(rename(name.removeprefix("probe.")))
            handle: list[Any] = []

            def hook(_, __, output, name=name, handle=handle):
                flat = output[0].flatten()
                index = [k * (flat.numel() - 1) // 15 for k in range(16)]
                self.check(name, flat[index], times=2)  # convolutions of other processors round otherwise
                handle[0].remove()

            handle.append(part.register_forward_hook(hook))
