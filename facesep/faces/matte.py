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
        probabilities: ``Tensor[B, 8, s, s]`` from :func:`facesep.faces.parsing.face_probabilities` for
            the same crop.

    Returns:
        ``Tensor[B, 1, S, S]``: 0 on the background and the body, 1 on the head.
    """
    return refine_mask(photo, head_probability(probabilities))


def refine_mask(photo: Tensor, mask: Tensor, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
    """Redraws the uncertain edge of masks by a colour-guided filter.

    In each window of the shrunk photo the mask is fitted as a linear function of the colour,
    ``a = (cov(I) + epsilon)^-1 cov(I, m)``, ``b = mean(m) - a mean(I)`` (the guided filter of He, Sun and
    Tang, in its fast form). The coefficients are averaged, enlarged and applied to the photo at its own
    size. Where the mask is sure all around, it stays.

    Args:
        photo: ``Tensor[B, 3, S, S]``, RGB in [0, 1].
        mask: ``Tensor[B, K, s, s]`` in [0, 1], K masks of the same crop, usually at 256 px.
        radius: half the side of the windows in pixels of the mask.
        epsilon: variance of colour below which a window counts as flat.

    Returns:
        ``Tensor[B, K, S, S]`` in [0, 1].
    """
    kind = photo.dtype
    photo, mask = photo.float(), mask.float()  # variances of flat windows vanish in half precision
    colour = _shrink(photo, mask.shape[-1])

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)

    centre, masks = mean(colour), mean(mask)
    pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    products = torch.cat([colour[:, i : i + 1] * colour[:, j : j + 1] for i, j in pairs], 1)
    squares = torch.cat([centre[:, i : i + 1] * centre[:, j : j + 1] for i, j in pairs], 1)
    rr, rg, rb, gg, gb, bb = (mean(products) - squares).split(1, 1)
    rr, gg, bb = rr + epsilon, gg + epsilon, bb + epsilon
    cofactors = (gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb)
    determinant = rr * cofactors[0] + rg * cofactors[1] + rb * cofactors[2]
    inverse = (
        cofactors,
        (cofactors[1], rr * bb - rb * rb, rb * rg - rr * gb),
        (cofactors[2], rb * rg - rr * gb, rr * gg - rg * rg),
    )
    out = []
    for k in range(mask.shape[1]):
        one, average = mask[:, k : k + 1], masks[:, k : k + 1]
        shared = (mean(colour * one) - centre * average).split(1, 1)
        slopes = [sum(i * c for i, c in zip(row, shared, strict=True)) / determinant for row in inverse]
        slopes = torch.cat(slopes, 1)
        offset = average - (slopes * centre).sum(1, keepdim=True)
        fit = _enlarge(mean(torch.cat((slopes, offset), 1)), photo)
        drawn = (fit[:, :3] * photo).sum(1, keepdim=True) + fit[:, 3:]
        doubt = F.max_pool2d((4 * one * (1 - one)).clamp(0, 1), 2 * radius + 1, 1, radius)
        doubt = _enlarge(F.avg_pool2d(doubt, 5, 1, 2, count_include_pad=False), photo)
        out.append(torch.lerp(_enlarge(one, photo), drawn.clamp(0, 1), doubt))
    return torch.cat(out, 1).to(kind)


def _shrink(photo: Tensor, side: int) -> Tensor:
    """``photo`` at ``side`` pixels: whole cells averaged, the rest bilinear (exports everywhere)."""
    factor = max(1, photo.shape[-1] // side)
    return F.interpolate(F.avg_pool2d(photo, factor), (side, side), mode="bilinear", align_corners=False)


def _enlarge(x: Tensor, photo: Tensor) -> Tensor:
    return F.interpolate(x, tuple(photo.shape[-2:]), mode="bilinear", align_corners=False)
