"""Augmentation of canonical images, with the pose kept right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.camera import CAMERA_DISTANCE, CENTRE_X, CENTRE_Y, FOCAL, euler_angles, rotation_matrix
from facesep.codes import Codes
from facesep.constants import constant
from facesep.precision import full_precision


def random_similarity(
    count: int, scale: float, turn: float, shift: float, generator: torch.Generator | None = None
) -> Tensor:
    """Random similarities of the image plane about the principal point.

    Args:
        count: number of images B.
        scale: largest relative change of size.
        turn: standard deviation of the in-plane turn, radians.
        shift: largest shift as a fraction of the image.
        generator: source of randomness.

    Returns:
        ``Tensor[B, 4]``: scale, clockwise turn in radians, shift in x and y as fractions.
    """
    uniform = torch.rand(count, 3, generator=generator) * 2 - 1
    normal = torch.randn(count, 1, generator=generator)
    return torch.cat((1 + scale * uniform[:, :1], turn * normal, shift * uniform[:, 1:]), 1)


@full_precision
def warp(images: Tensor, similarity: Tensor, size: int, fill: float = 1.0) -> Tensor:
    """Applies similarities to images.

    Args:
        images: ``Tensor[B, C, S, S]``.
        similarity: what ``random_similarity`` returned.
        size: side of the result.
        fill: value of what comes from outside.
    """
    scale, angle, shift_x, shift_y = similarity.unbind(1)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    inverse = torch.stack((torch.stack((cos, sin), 1), torch.stack((-sin, cos), 1)), 1)
    centre = constant((2 * CENTRE_X - 1, 2 * CENTRE_Y - 1), similarity)
    moved = centre + 2 * torch.stack((shift_x, shift_y), 1)
    offset = centre - (inverse @ moved[..., None])[..., 0]
    grid = F.affine_grid(
        torch.cat((inverse, offset[..., None]), 2), [len(images), 1, size, size], align_corners=False
    )
    return F.grid_sample(images - fill, grid, align_corners=False, padding_mode="zeros") + fill


def warp_points(points: Tensor, similarity: Tensor) -> Tensor:
    """Moves points ``Tensor[B, N, 2]`` (fractions of the image) like ``warp`` moves pixels."""
    scale, angle, shift_x, shift_y = similarity.unbind(1)
    centre = constant((CENTRE_X, CENTRE_Y), points)
    cos, sin = (angle.cos() * scale)[:, None], (angle.sin() * scale)[:, None]
    x, y = (points - centre).unbind(-1)
    turned = torch.stack((cos * x - sin * y, sin * x + cos * y), -1)
    return turned + centre + torch.stack((shift_x, shift_y), 1)[:, None]


@full_precision
def warp_pose(codes: Codes, similarity: Tensor) -> Codes:
    """The codes of the warped image.

    A turn about the principal point is a roll of the head about the optical axis (exact); a change of
    size is a step along it and a shift a step across it (exact at the depth of the head's origin).
    """
    scale, angle, shift_x, shift_y = similarity.unbind(1)
    zero = torch.zeros_like(angle)
    roll = rotation_matrix(torch.stack((zero, zero, -angle), 1))
    rotation = euler_angles(roll @ rotation_matrix(codes.rotation))
    x, y, z = (roll @ codes.translation[..., None])[..., 0].unbind(1)
    depth = (CAMERA_DISTANCE - z) / scale
    # Points move by scale about the principal point; moving nearer does the same to x and y.
    translation = torch.stack(
        (x + shift_x * depth / FOCAL, y - shift_y * depth / FOCAL, CAMERA_DISTANCE - depth), 1
    )
    return codes.replace(rotation=rotation, translation=translation)


def random_background(
    image: Tensor, target: Tensor, mask: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """What the encoder sees: the photo itself, the head on white, or the head on another background.

    Args:
        image: the photo, ``Tensor[B, 3, S, S]``.
        target: the head on white.
        mask: its mask, ``Tensor[B, 1, S, S]``.
        generator: source of randomness.
    """
    choice = torch.rand(len(image), 1, 1, 1, generator=generator).to(image.device)
    colour = torch.rand(len(image), 3, 1, 1, generator=generator).to(image.device)
    other = F.avg_pool2d(image.roll(1, 0), 9, 1, 4) * 0.6 + colour * 0.4
    pasted = image * mask + other * (1 - mask)
    return torch.where(choice < 0.45, image, torch.where(choice < 0.75, target, pasted))


def random_exposure(count: int, amount: float, generator: torch.Generator | None = None) -> Tensor:
    """Gains per colour, ``Tensor[B, 3, 1, 1]`` around 1: overall exposure and a slight tint."""
    overall = torch.randn(count, 1, 1, 1, generator=generator) * amount
    tint = torch.randn(count, 3, 1, 1, generator=generator) * (amount / 3)
    return (overall + tint).exp()


def random_resolution(image: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Blurs a share of the images as if they came from fewer pixels."""
    size = image.shape[-1]
    small = F.interpolate(image, scale_factor=0.5, mode="area")
    blurred = F.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    chosen = torch.rand(len(image), 1, 1, 1, generator=generator).to(image.device) < share
    return torch.where(chosen, blurred, image)
