"""Distances between pictures: L1, PSNR and SSIM, one number for each picture of a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_SIGMA, SSIM_RADIUS = 1.5, 5
"""Gaussian window of Wang et al. (2004): 11 x 11 pixels."""
SSIM_SIDE = 7
"""Side of the flat window, the other usual choice."""
SSIM_WINDOWS = ("gaussian", "flat")
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
"""Constants for values in 0..1."""


def l1(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference over pixels and channels.

    Args:
        a: ``Tensor[B, C, H, W]`` in 0..1.
        b: the same.
        mask: ``Tensor[B, 1, H, W]`` in 0..1: weight of each pixel; all pixels alike by default.

    Returns:
        ``Tensor[B]``; NaN where a mask is empty.
    """
    return _mean((a - b).abs(), mask)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, ``-10 log10(mean (a - b)^2)`` for values in 0..1.

    Args:
        a: ``Tensor[B, C, H, W]``.
        b: the same.

    Returns:
        ``Tensor[B]`` in decibels; infinite for equal pictures.
    """
    return -10 * (a - b).square().mean((1, 2, 3)).log10()


def ssim_map(a: Tensor, b: Tensor, kind: str = "gaussian") -> Tensor:
    """Structural similarity (Wang et al., 2004, eq. 13) at every place where the window fits.

    The variances are those of the window's weights, without a correction for small samples.

    Args:
        a: ``Tensor[B, C, H, W]`` in 0..1, at least 11 pixels wide and high.
        b: the same.
        kind: ``gaussian`` (11 x 11, sigma 1.5) or ``flat`` (7 x 7).

    Returns:
        ``Tensor[B, C, H - 10, W - 10]`` (``H - 6`` for the flat window).
    """
    if kind == "flat":
        window = torch.ones(SSIM_SIDE, dtype=a.dtype, device=a.device)
    else:
        offset = torch.arange(-SSIM_RADIUS, SSIM_RADIUS + 1, dtype=a.dtype, device=a.device)
        window = (-0.5 * (offset / SSIM_SIGMA).square()).exp()
    window = window / window.sum()
    parts = torch.cat((a, b, a * a, b * b, a * b))
    channels = a.shape[1]
    for shape in ((1, -1), (-1, 1)):  # the Gaussian is separable
        kernel = window.view(1, 1, *shape).expand(channels, 1, -1, -1)
        parts = F.conv2d(parts, kernel, groups=channels)
    mean_a, mean_b, square_a, square_b, product = parts.chunk(5)
    var_a, var_b = square_a - mean_a.square(), square_b - mean_b.square()
    covariance = product - mean_a * mean_b
    return (
        (2 * mean_a * mean_b + SSIM_C1)
        * (2 * covariance + SSIM_C2)
        / ((mean_a.square() + mean_b.square() + SSIM_C1) * (var_a + var_b + SSIM_C2))
    )


def ssim(a: Tensor, b: Tensor, mask: Tensor | None = None, kind: str = "gaussian") -> Tensor:
    """Mean of ``ssim_map`` over places and channels.

    Args:
        a: ``Tensor[B, C, H, W]`` in 0..1.
        b: the same.
        mask: ``Tensor[B, 1, H, W]`` in 0..1: weight of the window's centre.
        kind: of window, see ``ssim_map``.

    Returns:
        ``Tensor[B]``, 1 for equal pictures; NaN where a mask is empty.
    """
    radius = SSIM_SIDE // 2 if kind == "flat" else SSIM_RADIUS
    inner = slice(radius, -radius)
    return _mean(ssim_map(a, b, kind), None if mask is None else mask[..., inner, inner])


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of ``[B, C, H, W]`` over all but the batch, weighted by ``[B, 1, H, W]``."""
    if mask is None:
        return values.mean((1, 2, 3))
    return (values * mask).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) * values.shape[1])
