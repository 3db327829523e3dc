"""Hair masks in a frame that moves with the head in the picture plane."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.camera import CAMERA_DISTANCE, FOCAL, WINDOW, WINDOW_CENTRE_Y, project

SIZE = 32
"""Side of the normalised mask."""


def normalised_mask(mask: Tensor, rotation: Tensor, translation: Tensor, size: int = SIZE) -> Tensor:
    """Undoes shift, scale and roll of the head; yaw and pitch are left in.

    Args:
        mask: ``Tensor[B, 1, S, S]`` canonical mask in [0, 1].
        rotation: ``Tensor[B, 3]`` radians.
        translation: ``Tensor[B, 3]`` dm.
        size: side of the result.

    Returns:
        ``Tensor[B, 1, size, size]``: the canonical window as a head without roll and shift would fill it.
    """
    side = mask.shape[-1]
    origin = project(torch.zeros(1, 3), torch.zeros_like(rotation), translation, 1.0)[:, 0]
    scale = FOCAL / (CAMERA_DISTANCE - translation[:, 2])
    cell = ((torch.arange(size) + 0.5) / size - 0.5) * WINDOW
    y, x = torch.meshgrid(WINDOW_CENTRE_Y - cell, cell, indexing="ij")
    cos, sin = rotation[:, 2].cos()[:, None, None], rotation[:, 2].sin()[:, None, None]
    u = origin[:, 0, None, None] + scale[:, None, None] * (cos * x - sin * y)
    v = origin[:, 1, None, None] - scale[:, None, None] * (sin * x + cos * y)
    smooth = _smooth(mask, sigma=0.5 * side / size)
    return F.grid_sample(smooth, torch.stack((u, v), -1) * 2 - 1, align_corners=False)


def _smooth(mask: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, so that sampling at a lower rate does not alias."""
    radius = int(3 * sigma + 0.5)
    at = torch.arange(-radius, radius + 1, dtype=mask.dtype)
    kernel = torch.exp(-0.5 * (at / sigma).square())
    kernel = kernel / kernel.sum()
    mask = F.conv2d(F.pad(mask, (radius,) * 4, "replicate"), kernel.view(1, 1, 1, -1))
    return F.conv2d(mask, kernel.view(1, 1, -1, 1))


def hair_colour(image: Tensor, mask: Tensor, least: int = 50) -> tuple[Tensor, Tensor]:
    """Mean colour of the hair and the spread of its luminance.

    Args:
        image: ``Tensor[B, 3, S, S]`` in [0, 1].
        mask: ``Tensor[B, 1, S, S]``, 1 for hair.
        least: with fewer hair pixels than this there is no colour.

    Returns:
        ``(colour, present)``: ``Tensor[B, 4]`` (R, G, B, standard deviation of luminance), zero where
        ``present`` (``bool Tensor[B]``) is not set.
    """
    count = mask.sum((1, 2, 3))
    area = count.clamp_min(1.0)[:, None]
    mean = (image * mask).sum((2, 3)) / area
    luminance = (image * image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    middle = ((luminance * mask).sum((2, 3)) / area)[..., None, None]
    spread = ((luminance - middle).square() * mask).sum((2, 3)).div(area).sqrt()
    present = count >= least
    return torch.cat((mean, spread), 1) * present[:, None], present
