"""Where each pixel of a rendered head comes from in a photo of it, by the decoder's depth."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.camera import CAMERA_DISTANCE, CENTRE_X, CENTRE_Y, FOCAL, rotation_matrix
from facesep.codes import Codes
from facesep.nets.decoder import Rendering

SOLID = 0.6
"""Opacity from which the expected depth of a ray is a surface's."""
HIDDEN = 0.10
"""A point this many decimetres behind the surface that the photo shows is hidden there."""
STEEPNESS = 3.0
NEAR_POSE = 0.04
"""Square of the turn (in radians, 11 degrees) from which depth alone says what the photo shows."""
SLANTED = (0.12, 0.45)
"""Photo pixels for one result pixel (as an area) from which a surface is too slanted in the photo, and seen
well."""


class Surface(NamedTuple):
    """The visible surface of a head in its canonical view.

    Attributes:
        depth: ``Tensor[B, 1, n, n]`` planar depth in decimetres, continued beyond the outline.
        opacity: ``Tensor[B, 1, n, n]`` in 0..1.
    """

    depth: Tensor
    opacity: Tensor


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``Tensor[B, C, H, W]``; sigma in pixels, borders repeated."""
    radius = max(int(3 * sigma + 0.5), 1)
    at = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = (-0.5 * (at / sigma).square()).exp()
    kernel = (kernel / kernel.sum()).expand(image.shape[1], 1, 1, -1)
    padded = F.pad(image, (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel, groups=image.shape[1])
    return F.conv2d(across, kernel.transpose(2, 3), groups=image.shape[1])


def continued(values: Tensor, weight: Tensor, levels: int = 5) -> Tensor:
    """Continues an image smoothly to where its weight is zero (pull and push).

    Args:
        values: ``Tensor[B, C, n, n]``.
        weight: ``Tensor[B, 1, n, n]``, not negative; about 1 where the values hold.
        levels: halvings of the image, as long as its side is even.
    """
    stack = [(values * weight, weight)]
    while len(stack) <= levels and stack[-1][1].shape[-1] % 2 == 0:
        total, known = stack[-1]
        stack.append((F.avg_pool2d(total, 2), F.avg_pool2d(known, 2)))
    total, known = stack[-1]
    everywhere = tuple(each.mean((2, 3), keepdim=True) for each in stack[-1])
    mean = everywhere[0] / everywhere[1].clamp_min(1e-6)
    filled = torch.where(known > 1e-4, total / known.clamp_min(1e-4), mean)
    for level, (total, known) in reversed(list(enumerate(stack[:-1]))):
        coarse = F.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)
        # Below the image itself one pixel of four is enough, so that what is near wins over what is far.
        share = (known * (4 if level else 1)).clamp(0, 1)
        filled = torch.lerp(coarse, total / known.clamp_min(1e-6), share)
    return filled


def pixel_grid(count: int, like: Tensor) -> Tensor:
    """Centres of ``count x count`` cells as shares of the image: ``Tensor[2, count, count]``, x then y."""
    at = (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) / count
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack((x, y))


def surface(rendering: Rendering) -> Surface:
    """The surface in a rendering: planar depth, smooth, and continued beyond the outline."""
    distance, opacity = rendering.distance.float(), rendering.opacity.float()
    x, y = pixel_grid(distance.shape[-1], distance)
    slant = (1 + ((x - CENTRE_X) / FOCAL).square() + ((y - CENTRE_Y) / FOCAL).square()).sqrt()
    depth = distance / slant
    solid = ((opacity - SOLID) / (1 - SOLID)).clamp(0, 1)
    depth = continued(depth, solid)
    return Surface(depth, opacity)


def lift(depth: Tensor, codes: Codes) -> Tensor:
    """Points of the head frame that a canonical view shows.

    Args:
        depth: ``Tensor[B, 1, n, n]`` planar depth, decimetres.
        codes: with the pose of that view.

    Returns:
        ``Tensor[B, 3, n, n]`` decimetres.
    """
    x, y = pixel_grid(depth.shape[-1], depth)
    world = torch.cat(
        ((x - CENTRE_X) / FOCAL * depth, (CENTRE_Y - y) / FOCAL * depth, CAMERA_DISTANCE - depth), 1
    )
    moved = world - codes.translation.float()[:, :, None, None]
    return torch.einsum("bji,bjhw->bihw", rotation_matrix(codes.rotation.float()), moved)


def drop(points: Tensor, codes: Codes) -> tuple[Tensor, Tensor]:
    """Where points of the head frame appear in a canonical view; the inverse of ``lift``.

    Args:
        points: ``Tensor[B, 3, n, n]`` decimetres.
        codes: with the pose of the view.

    Returns:
        ``Tensor[B, 2, n, n]`` places as shares of the image, and ``Tensor[B, 1, n, n]`` planar depth.
    """
    world = torch.einsum("bij,bjhw->bihw", rotation_matrix(codes.rotation.float()), points)
    world = world + codes.translation.float()[:, :, None, None]
    depth = CAMERA_DISTANCE - world[:, 2:]
    x = CENTRE_X + FOCAL * world[:, :1] / depth
    y = CENTRE_Y - FOCAL * world[:, 1:2] / depth
    return torch.cat((x, y), 1), depth


def sample(image: Tensor, places: Tensor, mode: str = "bilinear") -> Tensor:
    """Values of ``Tensor[B, C, h, w]`` at places (shares of the image), the border repeated beyond it."""
    grid = (places * 2 - 1).permute(0, 2, 3, 1).to(image.dtype)
    return F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=False)


def resize(image: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Resizes ``Tensor[B, C, n, n]`` to ``size`` pixels a side; beyond four times linearly."""
    if image.shape[-1] == size:
        return image
    if image.shape[-1] > size:
        return F.interpolate(image, size=(size, size), mode="bicubic", align_corners=False, antialias=True)
    if mode == "bicubic" and size > 4 * image.shape[-1]:
        return resize(resize(image, 4 * image.shape[-1], mode), size)
    return F.interpolate(image, size=(size, size), mode=mode, align_corners=False)


def visible(depth: Tensor, shown: Tensor) -> Tensor:
    """Confidence that points at some depth are the ones that a photo shows there, not behind them."""
    return (1.5 - (depth - shown) / HIDDEN).clamp(0, 1)


def alike(codes: Codes, photo: Codes) -> Tensor:
    """Confidence that a head is seen from where the photo sees it, so that nothing comes to light.

    ``1 - (4 sin(a/2)^2) / NEAR_POSE`` of the angle ``a`` between the two poses.

    Args:
        codes: of the result.
        photo: codes of the photo.

    Returns:
        ``Tensor[B, 1, 1, 1]`` in 0..1.
    """
    both = rotation_matrix(codes.rotation.float()) * rotation_matrix(photo.rotation.float())
    return (1 - (3 - both.sum((1, 2))) / NEAR_POSE).clamp(0, 1).view(-1, 1, 1, 1)


def harden(opacity: Tensor, steepness: float = STEEPNESS) -> Tensor:
    """A steeper edge: opacities of coarse rays, enlarged, fade over several pixels."""
    return ((opacity - 0.5) * steepness + 0.5).clamp(0, 1)


def facing(places: Tensor) -> Tensor:
    """How squarely the photo sees the surface: confidence by photo area for a result pixel's area."""
    count = places.shape[-1]
    dx = F.pad((places[..., :, 2:] - places[..., :, :-2]) * (count / 2), (1, 1, 0, 0), mode="replicate")
    dy = F.pad((places[..., 2:, :] - places[..., :-2, :]) * (count / 2), (0, 0, 1, 1), mode="replicate")
    area = dx[:, :1] * dy[:, 1:] - dx[:, 1:] * dy[:, :1]
    low, high = SLANTED
    return ((area - low) / (high - low)).clamp(0, 1)


ANGLES, RADII, REACH = 128, 96, 0.75
"""Samples of an outline: directions, steps along each, and how far they go as a share of the image's side."""
SMOOTH, ALONE = 3, 4
"""Directions to each side over which a movement of the outline is averaged, and must hold to count."""
MOST_GROWTH = 0.15
"""How far an outline moves at most, as a share of the image's side."""


class Outline(NamedTuple):
    """A head's outline as seen from a centre.

    Attributes:
        centre: ``Tensor[B, 2, 1, 1]``, share of the image.
        radius: ``Tensor[B, 1, 1, ANGLES]``, share of the image, by direction from -pi to pi.
    """

    centre: Tensor
    radius: Tensor


def outline(opacity: Tensor, centre: Tensor) -> Outline:
    """The outline of a head: in each direction how much of a ray from a centre the head covers.

    Args:
        opacity: ``Tensor[B, 1, n, n]``.
        centre: ``Tensor[B, 2, 1, 1]``, share of the image.
    """
    angle = (torch.arange(ANGLES, dtype=opacity.dtype, device=opacity.device) + 0.5) / ANGLES * 2 - 1
    angle = angle * torch.pi
    step = (torch.arange(RADII, dtype=opacity.dtype, device=opacity.device) + 0.5) / RADII * REACH
    direction = torch.stack((angle.cos(), angle.sin()))[:, None]  # [2, 1, A]
    covered = sample(opacity, centre + step[:, None] * direction)
    # What lies beyond a gap (hair beside a neck) does not count twice.
    return Outline(centre, covered.sum(2, keepdim=True) * (REACH / RADII))


def beyond(places: Tensor, result: Outline, photo: Outline) -> Tensor:
    """Places in the photo of what lies outside the outline of a result: as far from the photo's outline.

    Args:
        places: ``Tensor[B, 2, n, n]`` of the result, shares of the image.
        result: its outline.
        photo: that of the head in the photo.

    Returns:
        ``Tensor[B, 2, n, n]``.
    """
    offset = places - result.centre
    distance = offset.norm(dim=1, keepdim=True).clamp_min(1e-6)
    at = torch.atan2(offset[:, 1:], offset[:, :1]) / torch.pi  # -1..1
    growth = (photo.radius - result.radius).clamp(-MOST_GROWTH, MOST_GROWTH)
    growth = _wide(growth.clamp_min(0)) - _wide((-growth).clamp_min(0))
    wrapped = torch.cat((growth[..., -SMOOTH - 2 :], growth, growth[..., : SMOOTH + 2]), -1)
    wrapped = F.avg_pool2d(wrapped, (1, 2 * SMOOTH + 1), 1)
    column = (at + 1) / 2 * ANGLES + 2
    look = torch.stack((column[:, 0] / wrapped.shape[-1] * 2 - 1, torch.zeros_like(column[:, 0])), -1)
    change = F.grid_sample(wrapped, look, mode="bilinear", padding_mode="border", align_corners=False)
    return photo.centre + offset * (1 + change / distance)


def _wide(growth: Tensor) -> Tensor:
    """What holds for neighbouring directions, too (a morphological opening).

    Hair beside a neck, which touches the chin in one view and not in the other, is a step in few directions.
    """
    wrapped = torch.cat((growth[..., -2 * ALONE :], growth, growth[..., : 2 * ALONE]), -1)
    least = -F.max_pool2d(-wrapped, (1, 2 * ALONE + 1), 1)
    return F.max_pool2d(least, (1, 2 * ALONE + 1), 1)
