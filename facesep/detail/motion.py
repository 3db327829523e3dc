"""How skin moves between two expressions or shapes: displacements of landmarks, spread over the face."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.constants import constant
from facesep.nets.landmarks import COUNT, LOWER_LIP, UPPER_LIP, mouth_curves

NEAR, FAR = 0.065, 0.3
"""Widths of the kernels in decimetres: that of skin beside a landmark, and of what no landmark is near to."""
BASE = 0.05
"""Weight of the wide kernel beside the narrow one."""
PASSES = 4
"""Times that what averaging takes from the landmarks' own displacements is given back to them."""
COARSER = 4
"""Cells of the fine grid along a cell of the coarse one, on which the wide kernel is computed."""
EDGE = 0.012
"""Decimetres over which the lips part."""
NOTHING = -60.0
"""Exponents below this count as this: the smallest numbers of all are slow to compute with."""
OPENING = (0.01, 0.045)
"""Heights of an open mouth in decimetres between which its inside begins to show."""


_UPPER, _LOWER = (tuple(float(k in lip) for k in range(COUNT)) for lip in (UPPER_LIP, LOWER_LIP))


class Moved(NamedTuple):
    """Points of a result's head frame, in the head frame of a photo.

    Attributes:
        points: ``Tensor[B, 3, n, n]`` decimetres.
        mouth: ``Tensor[B, 1, n, n]``, decimetres inside the opening of the lips (negative outside).
        shown: ``Tensor[B, 1, n, n]`` in 0..1, how much of the inside of that mouth the photo shows.
    """

    points: Tensor
    mouth: Tensor
    shown: Tensor


def height(curve: Tensor, x: Tensor) -> Tensor:
    """Height of a polyline that runs from left to right, level beyond its ends.

    Args:
        curve: ``Tensor[B, K, 3]``, the knots.
        x: ``Tensor[B, 1, n, n]``.
    """
    knots = curve[..., None, None]
    total = knots[:, :1, 1]
    for k in range(curve.shape[1] - 1):
        left, right = knots[:, k : k + 1], knots[:, k + 1 : k + 2]
        along = ((x - left[:, :, 0]) / (right[:, :, 0] - left[:, :, 0]).clamp_min(1e-4)).clamp(0, 1)
        total = total + along * (right[:, :, 1] - left[:, :, 1])
    return total


def move(points: Tensor, result: Tensor, photo: Tensor) -> Moved:
    """Carries points of a result's face to those of a photo, by the landmarks of both.

    Displacements are averaged with Gaussian weights of the distance to each landmark, and raised before
    so that each landmark itself moves as far as it should. Points above the line between the lips do not
    listen to the lower lip, and the other way round.

    Args:
        points: ``Tensor[B, 3, n, n]`` in the head frame of the result.
        result: its landmarks, ``Tensor[B, N, 3]``.
        photo: those of the photo.
    """
    upper, lower = mouth_curves(result)
    x, y = points[:, :1], points[:, 1:2]
    top, bottom = height(upper, x), height(lower, x)
    middle = (top + bottom) / 2
    corners = upper[:, [0, -1], 0][..., None, None]
    between = ((torch.minimum(x - corners[:, :1], corners[:, 1:] - x)) / 0.04).clamp(0, 1)
    above = torch.sigmoid((y - middle) / (EDGE / 4))
    side = (1 - between * (1 - above)).flatten(2)
    other = (1 - between * above).flatten(2)
    offsets = raised(result, photo - result)
    offset, total = _spread(points, result, offsets, NEAR, (side, other))
    coarse = F.avg_pool2d(points, COARSER)
    wide, weight = (
        F.interpolate(each, size=points.shape[-2:], mode="bilinear", align_corners=False)
        for each in _spread(coarse, result, offsets, FAR, None)
    )
    offset = (offset + BASE * wide) / (total + BASE * weight + 1e-6)

    inside = torch.minimum(
        torch.minimum(top - y, y - bottom), torch.minimum(x - corners[:, :1], corners[:, 1:] - x)
    )
    there = height(mouth_curves(photo)[0], x) - height(mouth_curves(photo)[1], x)
    low, high = OPENING
    wanted = (top - bottom).clamp_min(0)
    shown = ((there + low) / (wanted + low)).clamp(0, 1)
    return Moved(points + offset, inside, ((shown - 0.3) / 0.4).clamp(0, 1))


def raised(landmarks: Tensor, offsets: Tensor) -> Tensor:
    """Displacements whose averages at the landmarks are nearly the given ones (L2 boosting).

    Args:
        landmarks: ``Tensor[B, N, 3]``.
        offsets: ``Tensor[B, N, 3]``.
    """
    square = (landmarks * landmarks).sum(-1, keepdim=True)
    distance = (square + square.mT - 2 * landmarks @ landmarks.mT).clamp_min(0)
    upper, lower = constant(_UPPER, distance), constant(_LOWER, distance)
    together = 1 - upper[:, None] * lower - lower[:, None] * upper
    weights = (-distance / (2 * NEAR**2)).exp() * together + BASE * (-distance / (2 * FAR**2)).exp()
    weights = weights / weights.sum(-1, keepdim=True)
    found = offsets
    for _ in range(PASSES):
        found = found + offsets - weights @ found
    return found


def _spread(
    points: Tensor, landmarks: Tensor, offsets: Tensor, width: float, sides: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Sums of offsets and of weights over the landmarks, ``[B, 3, n, n]`` and ``[B, 1, n, n]``."""
    flat = points.flatten(2)  # [B, 3, P]
    vectors = torch.cat((offsets, torch.ones_like(offsets[..., :1])), -1).transpose(1, 2)  # [B, 4, N]
    # exp(-|q - l|^2 / 2 w^2) in one product: the norms enter as a fourth and a fifth coordinate.
    scale = 1 / (2 * width**2)
    square = (flat * flat).sum(1, keepdim=True)
    known = torch.cat((2 * landmarks, torch.ones_like(landmarks[..., :1])), -1) * scale
    exponent = torch.baddbmm(
        -scale * (landmarks * landmarks).sum(-1, keepdim=True), known, torch.cat((flat, -square), 1)
    )
    weights = exponent.clamp(NOTHING, 0.0).exp()
    total = vectors @ weights
    for part, side in zip((UPPER_LIP, LOWER_LIP), sides or (), strict=False):
        chosen = list(part)
        total = total - (vectors[:, :, chosen] @ weights[:, chosen]) * (1 - side)
    return tuple(total.unflatten(2, points.shape[2:]).split((3, 1), 1))
