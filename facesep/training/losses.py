"""The losses of the paper (equations 3 to 11), one function each, and the priors of open training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.analysis.label_file import HAIR_COLOURS
from facesep.camera import CENTRE_X, CENTRE_Y, FOCAL
from facesep.codes import ATTRIBUTES, Codes
from facesep.constants import constant

FEATURE_SIZES = ((0.27, 0.2), (0.27, 0.2), (0.4, 0.25))
"""Half axes of what counts as an eye, the other eye and the mouth, in distances between the eyes."""
CodeDistance = Callable[[str, Tensor, Tensor], Tensor]


def cosine_distance(name: str, a: Tensor, b: Tensor) -> Tensor:
    """``1 - cos(a, b)`` per item, the paper's distance of codes.

    The cosine of two nearly zero vectors has no direction and no stable gradient: such pairs (both
    shorter than 1e-3) count as equal.

    Args:
        name: attribute (unused: the paper treats all alike).
        a: ``Tensor[B, n]``.
        b: ``Tensor[B, n]``.
    """
    short = torch.maximum(a.norm(dim=-1), b.norm(dim=-1)) < 1e-3
    return torch.where(short, a.sum(-1) * 0.0, 1 - F.cosine_similarity(a, b, dim=-1, eps=1e-4))


def scaled_distance(name: str, a: Tensor, b: Tensor) -> Tensor:
    """A distance that also fixes the length of codes; per item.

    Cosines ignore length, and the direction of a small rotation says nothing about its size. Rotation
    and translation are compared by squared difference in units of 0.1 (radians or decimetres); the
    other codes by cosine plus the squared difference per unit of the second code's power.
    """
    if name in ("rotation", "translation"):
        return F.huber_loss(a / 0.1, b / 0.1, reduction="none").mean(-1)
    power = b.square().mean(-1).clamp_min(0.1)
    return 1 - F.cosine_similarity(a, b, dim=-1, eps=1e-4) + 0.5 * (a - b).square().mean(-1) / power


def codes_loss(
    a: Codes, b: Codes, weights: Mapping[str, float], distance: CodeDistance = cosine_distance
) -> dict[str, Tensor]:
    """Weighted distance of each attribute, mean over the batch (L_reg, L_cod and L_cyc share this form).

    Returns:
        One scalar per attribute with a positive weight.
    """
    return {
        name: weights[name] * distance(name, getattr(a, name), getattr(b, name)).mean()
        for name in ATTRIBUTES
        if weights[name] > 0
    }


def pixel_loss(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L_pix (eq. 4): mean absolute difference over the head mask.

    Args:
        image: ``Tensor[B, 3, S, S]`` in 0..1.
        target: ``Tensor[B, 3, S, S]``.
        mask: ``Tensor[B, 1, S, S]`` in 0..1.
    """
    difference = (image - target).abs().mean(1, keepdim=True)
    return (difference * mask).sum() / mask.sum().clamp_min(1.0)


def edges_loss(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sharpness prior: L_pix of the differences of neighbouring pixels, across and down.

    Args:
        image: ``Tensor[B, 3, S, S]`` in 0..1.
        target: ``Tensor[B, 3, S, S]``.
        mask: ``Tensor[B, 1, S, S]`` in 0..1.
    """
    difference = image - target
    across = difference.diff(dim=-1).abs().mean(1, keepdim=True) * mask[..., 1:]
    down = difference.diff(dim=-2).abs().mean(1, keepdim=True) * mask[..., 1:, :]
    return (across.sum() + down.sum()) / (2 * mask.sum()).clamp_min(1.0)


def features_loss(image: Tensor, target: Tensor, mask: Tensor, points: Tensor) -> Tensor:
    """L_pix and its edges around eyes and mouth, which are a seventh of a head and most of who it is.

    Args:
        image: ``Tensor[B, 3, S, S]`` in 0..1.
        target: ``Tensor[B, 3, S, S]``.
        mask: ``Tensor[B, 1, S, S]`` in 0..1.
        points: ``Tensor[B, 5, 2]``: eyes, nose, corners of the mouth; shares of the image's side.
    """
    near = mask * features_window(points, image.shape[-1])
    return pixel_loss(image, target, near) + edges_loss(image, target, near)


def features_window(points: Tensor, size: int) -> Tensor:
    """``Tensor[B, 1, size, size]``: 1 at eyes and mouth, falling off like a normal distribution."""
    eyes, mouth = points[:, :2], points[:, 3:].mean(1, keepdim=True)
    centres = torch.cat((eyes, mouth), 1)[:, :, None, None]
    unit = (points[:, 0] - points[:, 1]).norm(dim=-1)[:, None, None, None]
    cell = (torch.arange(size, dtype=points.dtype, device=points.device) + 0.5) / size
    y, x = torch.meshgrid(cell, cell, indexing="ij")
    across, down = (
        constant(sizes, points)[:, None, None] * unit for sizes in zip(*FEATURE_SIZES, strict=True)
    )
    squared = ((x - centres[..., 0]) / across) ** 2 + ((y - centres[..., 1]) / down) ** 2
    return torch.exp(-0.5 * squared).amax(1, keepdim=True)


def perceptual_loss(taps_a: Sequence[Tensor], taps_b: Sequence[Tensor]) -> Tensor:
    """L_perc (eq. 5): sum over layers of the mean absolute difference of features."""
    return sum((a.float() - b.float()).abs().mean() for a, b in zip(taps_a, taps_b, strict=True))


def identity_loss(a: Tensor, b: Tensor) -> Tensor:
    """L_id (eq. 6): ``1 - cos`` of face-recognition embeddings ``Tensor[B, n]``, mean over the batch."""
    return (1 - F.cosine_similarity(a.float(), b.float(), dim=-1)).mean()


def swap_targets(codes: Codes, attribute: str) -> tuple[Codes, Tensor]:
    """Codes for L_dis (eq. 11): item i meets item B-1-i, and each takes one attribute from the other.

    Args:
        codes: batch of even or odd length; a middle item keeps its own code.
        attribute: the swapped attribute k.

    Returns:
        ``(swapped, donors)``: codes ``z_j`` with the k-th from ``z_i``, and the index i of each donor.
    """
    donors = _donors(codes)
    return codes.replace(**{attribute: getattr(codes, attribute)[donors]}), donors


def transplants(codes: Codes) -> Codes:
    """Heads of a batch with the face of another: item i meets item B-1-i and takes its face.

    Pose, light and hair with its colour stay; shape, expression and the colour of the skin are the other's.

    Args:
        codes: a batch.
    """
    other = codes[_donors(codes)]
    skin = codes.texture.shape[-1] - HAIR_COLOURS
    texture = torch.cat((other.texture[:, :skin], codes.texture[:, skin:]), -1)
    return codes.replace(shape=other.shape, expression=other.expression, texture=texture)


def _donors(codes: Codes) -> Tensor:
    """Item i of a batch meets item B-1-i."""
    return torch.arange(len(codes) - 1, -1, -1, device=codes.shape.device)


def hair_loss(image: Tensor, target: Tensor, mask: Tensor, hair: Tensor) -> tuple[Tensor, Tensor]:
    """Hair that does not depend on the face: L_pix where a photo shows hair, and where it shows no head.

    For images with the face of another person (``transplants``); the face, and a rim of 1/40 of the
    image around it because outlines differ, is left out.

    Args:
        image: ``Tensor[B, 3, S, S]`` in 0..1.
        target: ``Tensor[B, 3, S, S]``, photos of those who have the hair.
        mask: their head masks ``Tensor[B, 1, S, S]`` in 0..1.
        hair: their hair masks, likewise.

    Returns:
        Two scalars: on hair, and outside the head.
    """
    reach = max(round(image.shape[-1] / 40), 1)
    away = 1 - F.max_pool2d((mask - hair).clamp_min(0), 2 * reach + 1, stride=1, padding=reach)
    return pixel_loss(image, target, hair * away), pixel_loss(image, target, (1 - mask) * away)


def opacity_loss(opacity: Tensor, mask: Tensor) -> Tensor:
    """Silhouette prior: mean absolute difference of the rays' opacity and the head mask.

    Args:
        opacity: ``Tensor[B, 1, n, n]``.
        mask: ``Tensor[B, 1, S, S]``, averaged to the ray grid here.
    """
    return (opacity - F.adaptive_avg_pool2d(mask, opacity.shape[-1])).abs().mean()


def depth_loss(distance: Tensor, opacity: Tensor, depth: Tensor) -> Tensor:
    """Geometry prior: the surface lies where the fitted mesh has it.

    Args:
        distance: ``Tensor[B, 1, n, n]``, expected distance along the ray, decimetres.
        opacity: ``Tensor[B, 1, n, n]``; transparent rays count less.
        depth: ``Tensor[B, 1, m, m]``, planar depth in front of the camera; NaN where it is unknown.
    """
    count = distance.shape[-1]
    known = (~depth.isnan()).to(distance.dtype)
    total = F.adaptive_avg_pool2d(depth.nan_to_num().to(distance.dtype) * known, count)
    share = F.adaptive_avg_pool2d(known, count)
    cell = (torch.arange(count, dtype=distance.dtype, device=distance.device) + 0.5) / count
    y, x = torch.meshgrid((cell - CENTRE_Y) / FOCAL, (cell - CENTRE_X) / FOCAL, indexing="ij")
    planar = distance / (1 + x * x + y * y).sqrt()
    weight = (share > 0.5).to(distance.dtype) * opacity.detach()
    difference = (planar - total / share.clamp_min(1e-6)).abs()
    return (difference * weight).sum() / weight.sum().clamp_min(1.0)
