"""Differentiable crops of the canonical image for networks that were trained on other crops.

Pixel coordinates are continuous: pixel i covers [i, i + 1).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from facesep.camera import CENTRE_X, CENTRE_Y, TEMPLATE_5, WINDOW, project
from facesep.constants import constant, keep
from facesep.precision import full_precision

DEEP3D_SIZE = 224
DEEP3D_SIDE = 2 * 112 / 101.5 / WINDOW
"""Side of the R-Net crop (its camera maps 1 dm to 101.5 px) as a multiple of the canonical image: 0.7882."""

ARCFACE_SIZE = 112
ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Eyes, nose tip and mouth corners in the 112 px crop, counted from the centre of the first pixel."""

SHARPEST = 256
"""Larger canonical images are reduced to this side before a bilinear warp, which then aliases no more than
the warps that the recognition networks were trained with."""


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -0.5."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def resampling_matrix(size: int, start: float, length: float, count: int) -> Tensor:
    """Weights of a one-dimensional bicubic resampling with anti-aliasing, as in PIL.

    Args:
        size: number of source pixels.
        start: left edge of the window in source pixels; the window lies inside the source.
        length: length of the window in source pixels.
        count: number of output pixels.

    Returns:
        ``Tensor[count, size]``, float32, every row sums to 1.
    """
    step = length / count
    scale = max(step, 1.0)
    centre = start + (torch.arange(count, dtype=torch.float64)[:, None] + 0.5) * step
    weights = _cubic((torch.arange(size, dtype=torch.float64) + 0.5 - centre) / scale)
    return (weights / weights.sum(1, keepdim=True)).float()


def _resampling(size: int, start: float, length: float, count: int, like: Tensor) -> Tensor:
    key = ("resampling", size, start, length, count, like.dtype, like.device)
    return keep(key, lambda: resampling_matrix(size, start, length, count).to(like))


def crop_window(image: Tensor, left: float, top: float, side: float, size: int) -> Tensor:
    """Cuts a square window and resizes it bicubically with anti-aliasing.

    Args:
        image: ``Tensor[B, C, S, S]``.
        left: left edge in pixels; the window lies inside the image.
        top: upper edge in pixels.
        side: side of the window in pixels.
        size: side of the result in pixels.

    Returns:
        ``Tensor[B, C, size, size]``.
    """
    height, width = image.shape[-2:]
    rows = _resampling(height, top, side, size, image)
    columns = _resampling(width, left, side, size, image)
    return rows @ image @ columns.T


def deep3d_crop(image: Tensor) -> Tensor:
    """The R-Net's crop of canonical images, a fixed window about the principal point.

    Args:
        image: ``Tensor[B, 3, S, S]`` in [0, 1].

    Returns:
        ``Tensor[B, 3, 224, 224]`` in [0, 1].
    """
    size = image.shape[-1]
    side = DEEP3D_SIDE * size
    crop = crop_window(image, CENTRE_X * size - side / 2, CENTRE_Y * size - side / 2, side, DEEP3D_SIZE)
    return crop.clamp(0, 1)  # bicubic overshoots at edges


@full_precision
def similarity(source: Tensor, target: Tensor) -> Tensor:
    """The least-squares similarity (rotation, scale, shift; no mirroring) between 2D points.

    With points as complex numbers the map is ``a z + b`` and ``a`` has a closed form. The result equals
    Umeyama's.

    Args:
        source: ``Tensor[B, N, 2]``.
        target: ``Tensor[B, N, 2]``.

    Returns:
        ``Tensor[B, 2, 3]`` that maps the source onto the target.
    """
    source_mean, target_mean = source.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
    x, y = (source - source_mean).unbind(-1)
    u, v = (target - target_mean).unbind(-1)
    power = (x * x + y * y).sum(-1)
    real = (x * u + y * v).sum(-1) / power
    imaginary = (x * v - y * u).sum(-1) / power
    linear = torch.stack([real, -imaginary, imaginary, real], -1).unflatten(-1, (2, 2))
    shift = target_mean.transpose(-1, -2) - linear @ source_mean.transpose(-1, -2)
    return torch.cat([linear, shift], -1)


def projected_points(rotation: Tensor, translation: Tensor, size: float) -> Tensor:
    """Where the five points of a posed mean head appear in the canonical image.

    Args:
        rotation: ``Tensor[B, 3]``, radians.
        translation: ``Tensor[B, 3]``, decimetres.
        size: side of the image in pixels.

    Returns:
        ``Tensor[B, 5, 2]``.
    """
    template = constant(TEMPLATE_5, rotation)
    return project(template, rotation, translation, size)[..., :2]


@full_precision
def inverted(matrix: Tensor) -> Tensor:
    """The inverse of affine maps ``Tensor[B, 2, 3]``."""
    linear = torch.linalg.inv(matrix[..., :2])
    return torch.cat([linear, -linear @ matrix[..., 2:]], -1)


@full_precision
def warp(image: Tensor, to_image: Tensor, size: int) -> Tensor:
    """Samples a square bilinearly; black beyond the border.

    Args:
        image: ``Tensor[B, C, H, W]``.
        to_image: ``Tensor[B, 2, 3]``, pixels of the result to pixels of ``image``.
        size: side of the result in pixels.

    Returns:
        ``Tensor[B, C, size, size]``.
    """
    # grid_sample wants both sides in [-1, 1]: pixel p of n is 2 p / n - 1.
    extent = constant((image.shape[-1], image.shape[-2]), to_image)
    linear = to_image[..., :2] * size / extent[:, None]
    centre = to_image[..., :2].sum(-1) * (size / 2) + to_image[..., 2]
    theta = torch.cat([linear, (centre * 2 / extent - 1)[..., None]], -1)
    grid = F.affine_grid(theta, [len(image), 1, size, size], align_corners=False)
    return F.grid_sample(image, grid.to(image.dtype), padding_mode="zeros", align_corners=False)


def arcface_crop(
    image: Tensor,
    points: Tensor,
    size: int = ARCFACE_SIZE,
    fit: Literal["adaface", "insightface"] = "adaface",
) -> Tensor:
    """Aligns faces to the ArcFace template.

    Args:
        image: ``Tensor[B, C, S, S]`` in [0, 1].
        points: ``Tensor[B, 5, 2]``, eyes, nose tip and mouth corners in pixels of ``image``.
        size: side of the result in pixels.
        fit: ``adaface`` fits the template to the points and ``insightface`` the points to the template;
            the two differ slightly in scale. (AdaFace's choice of a mirrored map never arises for a face
            seen from outside.)

    Returns:
        ``Tensor[B, C, size, size]``; differentiable in the image and in the points.
    """
    if image.shape[-1] > SHARPEST:
        points = points * (SHARPEST / image.shape[-1])
        image = F.interpolate(image, size=(SHARPEST, SHARPEST), mode="bilinear", antialias=True)
    template = constant(ARCFACE_TEMPLATE, points)
    template = ((template + 0.5) * (size / ARCFACE_SIZE)).expand_as(points)
    if fit == "adaface":
        return warp(image, similarity(template, points), size)
    return warp(image, inverted(similarity(points, template)), size)
