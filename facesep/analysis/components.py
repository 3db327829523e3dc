"""Principal components and standardisation with what is needed to undo them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Standard:
    """Subtracts a mean and divides by a deviation.

    Attributes:
        mean: ``Tensor[D]``.
        std: ``Tensor[D]``.
    """

    mean: Tensor
    std: Tensor

    @staticmethod
    def of(values: Tensor, floor: float = 1e-6) -> Standard:
        """Measures ``Tensor[N, D]``; deviations below ``floor`` are raised to it, so noise stays small."""
        return Standard(values.mean(0), values.std(0).clamp_min(floor))

    def apply(self, values: Tensor) -> Tensor:
        """Standardises ``Tensor[N, D]``."""
        return (values - self.mean) / self.std

    def undo(self, values: Tensor) -> Tensor:
        """The inverse of ``apply``."""
        return values * self.std + self.mean


@dataclass(frozen=True)
class Components:
    """Principal components scaled to unit variance: ``values = mean + (code * std) @ basis``.

    Attributes:
        mean: ``Tensor[D]``.
        std: ``Tensor[K]`` deviation along each component.
        basis: ``Tensor[K, D]``, orthonormal rows.
    """

    mean: Tensor
    std: Tensor
    basis: Tensor

    @staticmethod
    def of(values: Tensor, count: int, seed: int = 0) -> Components:
        """Finds the ``count`` strongest components of ``Tensor[N, D]`` (randomised, seeded)."""
        mean = values.mean(0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            wanted = min(count + 20, *values.shape)
            _, strength, basis = torch.svd_lowrank(values - mean, q=wanted, niter=4)
        basis = basis[:, :count].T
        # A fixed direction decides the sign. A plain sum would not: odd components sum to nothing.
        direction = torch.randn(values.shape[1], generator=torch.Generator().manual_seed(seed))
        basis = basis * torch.where(basis @ direction.to(basis) < 0, -1.0, 1.0)[:, None]
        std = strength[:count] / max(len(values) - 1, 1) ** 0.5
        return Components(mean, std.clamp_min(1e-8), basis.contiguous())

    def apply(self, values: Tensor) -> Tensor:
        """Codes ``Tensor[N, K]`` of ``Tensor[N, D]``."""
        return (values - self.mean) @ self.basis.T / self.std

    def undo(self, codes: Tensor) -> Tensor:
        """Values of codes; the inverse of ``apply`` within the span of the components."""
        return self.mean + (codes * self.std) @ self.basis
