"""Spherical-harmonics lighting: 9 bands for each colour, in the layout and units of Deep3DFaceRecon.

A surface point with albedo ``A`` and world normal ``n`` has the colour ``A * (Y(n) . (gamma + c0))`` in
sRGB values from 0 to 1, where ``c0`` is 0.8 in the first band: zero gamma is plain white light. sRGB
values are used as they are, because that is the convention of the codes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BANDS = 9
AMBIENT = 0.8
"""Added to the first band of every colour."""
WHITE = 2 / math.sqrt(math.pi) - AMBIENT
"""First band of the light that shades everything with 1."""
_A = (math.pi, 2 * math.pi / math.sqrt(3), 2 * math.pi / math.sqrt(8))
_C = (
    1 / math.sqrt(4 * math.pi),
    math.sqrt(3) / math.sqrt(4 * math.pi),
    3 * math.sqrt(5) / math.sqrt(12 * math.pi),
)


def sh_basis(normal: Tensor) -> Tensor:
    """The nine bands for unit normals ``Tensor[..., 3]``: ``Tensor[..., 9]``."""
    x, y, z = normal.unbind(-1)
    first, second = _A[1] * _C[1], _A[2] * _C[2]
    return torch.stack(
        (
            torch.full_like(x, _A[0] * _C[0]),
            -first * y,
            first * z,
            -first * x,
            second * x * y,
            -second * y * z,
            second * 0.5 / math.sqrt(3) * (3 * z * z - 1),
            -second * x * z,
            second * 0.5 * (x * x - y * y),
        ),
        -1,
    )


def shading(normal: Tensor, gamma: Tensor) -> Tensor:
    """Light on surface points.

    Args:
        normal: ``Tensor[B, N, 3]`` unit, world frame.
        gamma: ``Tensor[B, 27]``, three colours of nine bands.

    Returns:
        ``Tensor[B, N, 3]``: colour over albedo.
    """
    light = gamma.unflatten(-1, (3, BANDS)).clone()
    light[..., 0] += AMBIENT
    return sh_basis(normal) @ light.transpose(-1, -2)


def fit_light(
    colour: Tensor, normal: Tensor, albedo: Tensor, weight: Tensor, ridge: float = 0.01, rounds: int = 4
) -> Tensor:
    """The light that explains colours best, robustly.

    Regularised least squares, reweighted against highlights, beards and glasses (Geman-McClure). The
    prior is white light that shows the albedo as it is (a shading of 1). Each band is held back by what
    it contributes to the picture; the first, which is plain brightness, hardly at all.

    Args:
        colour: ``Tensor[B, N, 3]`` sRGB in [0, 1].
        normal: ``Tensor[B, N, 3]`` unit, world frame.
        albedo: ``Tensor[B, N, 3]`` or ``Tensor[N, 3]``.
        weight: ``Tensor[B, N]``, 0 for what is not visible skin.
        ridge: weight of the prior relative to all observations of a photo.
        rounds: how often to reweight.

    Returns:
        ``Tensor[B, 27]``.
    """
    basis = sh_basis(normal)
    albedo = albedo.expand_as(colour)
    first = basis[..., :1] * albedo
    target = colour - first * (AMBIENT + WHITE)
    total = weight.sum(1).clamp_min(1.0)
    gamma = torch.zeros(len(colour), 3, BANDS)
    strength = ridge * (basis.square() * weight[..., None]).sum(1)
    strength[:, 0] *= 0.1
    level = (albedo.square() * weight[..., None]).sum(1) / total[:, None]
    trust = weight
    for _ in range(rounds):
        for k in range(3):
            design = basis * albedo[..., k : k + 1]
            scaled = design * trust[..., None]
            matrix = scaled.transpose(1, 2) @ design + torch.diag_embed(strength * level[:, k : k + 1] + 1e-6)
            gamma[:, k] = torch.linalg.solve(
                matrix, (scaled.transpose(1, 2) @ target[..., k : k + 1])[..., 0]
            )
        error = (albedo * (basis @ gamma.transpose(1, 2)) - target).square().sum(-1)
        spread = (error * weight).sum(1, keepdim=True) / total[:, None]
        trust = weight / (1 + error / spread.clamp_min(1e-5)).square()
    gamma[..., 0] += WHITE
    return gamma.flatten(1)
