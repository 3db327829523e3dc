"""Soft edges: a mask at the parser's resolution follows the edges and hairs of the photo at its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.nets.face_parser import head_probability

RADIUS = 5
"""Half the side of the filter's windows, in pixels of the mask."""
EPSILON = 1e-3
"""Variance of colour (in [0, 1]) below which a window counts as flat."""


def soft_matte(photo: Tensor, probabilities: Tensor) -> Tensor:
    """The head's matte at the photo's resolution.

    Args:
        photo: ``Tensor[B, 3, S, S]``, RGB in [0, 1]: the canonical crop, of any size.
        probabilities: ``Tensor[B, 8, s, s]`` from ``facesep.faces.parsing.face_probabilities`` for
            the same crop.

    Returns:
        ``Tensor[B, 1, S, S]``: 0 on the background and the body, 1 on the head.
    """
    return refine_mask(photo, head_probability(probabilities))


def refine_mask(photo: Tensor, mask: Tensor, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
    """Redraws the uncertain edge of masks by ``guided_filter``; where a mask is sure, it stays.

    Args:
        photo: ``Tensor[B, 3, S, S]``, RGB in [0, 1].
        mask: ``Tensor[B, K, s, s]`` in [0, 1], K masks of the same crop, usually at 256 px.
        radius: half the side of the windows in pixels of the mask.
        epsilon: variance of colour below which a window counts as flat.

    Returns:
        ``Tensor[B, K, S, S]`` in [0, 1].
    """
    doubt = 4 * mask * (1 - mask)
    for size, pad in _lines(radius):
        doubt = F.max_pool2d(doubt, size, 1, pad)
    doubt = _enlarge(_mean(doubt, 2), photo)
    drawn = guided_filter(photo, mask, radius, epsilon).clamp(0, 1)
    return torch.lerp(_enlarge(mask, photo), drawn, doubt)


def guided_filter(photo: Tensor, mask: Tensor, radius: int, epsilon: float) -> Tensor:
    """The colour-guided filter of He, Sun and Tang, in its fast form.

    In each window of the shrunk photo the mask is fitted as a linear function of the colour,
    ``a = (cov(I) + epsilon)^-1 cov(I, m)`` and ``b = mean(m) - a mean(I)``. The coefficients are averaged,
    enlarged, and applied to the photo at its own size.

    Args:
        photo: ``Tensor[B, 3, S, S]``, RGB in [0, 1].
        mask: ``Tensor[B, K, s, s]``.
        radius: half the side of the windows in pixels of the mask.
        epsilon: variance of colour below which a window counts as flat.

    Returns:
        ``Tensor[B, K, S, S]``, not clamped.
    """
    kind, count = photo.dtype, mask.shape[1]
    if kind in (torch.float16, torch.bfloat16):  # small variances vanish in them
        photo, mask = photo.float(), mask.float()
    colour = _shrink(photo, mask.shape[-1])
    centre, average = _mean(colour, radius), _mean(mask, radius)

    def covariance(i: int, j: int) -> Tensor:
        return _mean(colour[:, i] * colour[:, j], radius) - centre[:, i] * centre[:, j]

    rr, gg, bb = (covariance(i, i) + epsilon for i in range(3))
    rg, rb, gb = covariance(0, 1), covariance(0, 2), covariance(1, 2)
    # The inverse of the symmetric 3 x 3 matrix by cofactors: only multiplications, which export anywhere.
    first = torch.stack((gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb), 1)
    second = torch.stack((first[:, 1], rr * bb - rb * rb, rb * rg - rr * gb), 1)
    third = torch.stack((first[:, 2], second[:, 2], rr * gg - rg * rg), 1)
    determinant = (first * torch.stack((rr, rg, rb), 1)).sum(1, keepdim=True)
    out = []
    for k in range(count):
        one = mask[:, k : k + 1]
        shared = _mean(colour * one, radius) - centre * average[:, k : k + 1]
        rows = [(row * shared).sum(1, keepdim=True) for row in (first, second, third)]
        slope = torch.cat(rows, 1) / determinant
        offset = average[:, k : k + 1] - (slope * centre).sum(1, keepdim=True)
        line = _enlarge(_mean(torch.cat((slope, offset), 1), radius), photo)
        out.append((line[:, :3] * photo).sum(1, keepdim=True) + line[:, 3:])
    return torch.cat(out, 1).to(kind)


def _mean(x: Tensor, radius: int) -> Tensor:
    """Mean over windows of ``Tensor[..., n, n]``; at the border over what is there."""
    at = torch.arange(x.shape[-1], device=x.device)
    band = ((at - at[:, None]).abs() <= radius).to(x.dtype)
    band = band / band.sum(1, keepdim=True)
    return band @ x @ band.mT  # small matrices: a quarter of the time of pooling


def _lines(radius: int) -> tuple[tuple[tuple[int, int], tuple[int, int]], ...]:
    """A square window as a row and a column, each with its padding: the same for a fraction of the work."""
    side = 2 * radius + 1
    return ((1, side), (0, radius)), ((side, 1), (radius, 0))


def _shrink(photo: Tensor, side: int) -> Tensor:
    """``photo`` at ``side`` pixels: whole cells averaged, the rest bilinear (exports anywhere)."""
    factor = max(1, photo.shape[-1] // side)
    return F.interpolate(F.avg_pool2d(photo, factor), (side, side), mode="bilinear", align_corners=False)


def _enlarge(x: Tensor, photo: Tensor) -> Tensor:
    return F.interpolate(x, tuple(photo.shape[-2:]), mode="bilinear", align_corners=False)
