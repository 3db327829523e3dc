"""Hair that goes on beyond the canonical crop, where a result has lost it: the photo without it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from facesep.detail.flow import blur, continued, pixel_grid, sample
from facesep.faces.crop import Crop
from facesep.faces.parsing import BUNDLED_SIZE, face_probabilities
from facesep.images import to_tensor
from facesep.nets.face_parser import HAIR, head_probability

BEYOND = 0.4
"""How far beyond the crop hair is looked for, as a share of the crop's side."""
LEAST = 0.3
"""Probability from which a pixel is hair that goes with what has gone."""
HAZE = 0.02
"""How far from hair the colours behind it are taken, as a share of the side of the wide window."""


def wider(crop: Crop) -> Crop:
    """The window in which hair is looked for."""
    margin = BEYOND * crop.side
    return Crop(crop.left - margin, crop.top - margin, crop.side + 2 * margin)


def framed(crop: Crop, photo: Image.Image, size: int) -> Tensor:
    """1 where a canonical image shows the photo, 0 beyond its border: ``Tensor[1, 1, size, size]``."""
    at = (torch.arange(size) + 0.5) / size * crop.side
    rows = (at + crop.top > 0) & (at + crop.top < photo.height)
    columns = (at + crop.left > 0) & (at + crop.left < photo.width)
    return (rows[:, None] & columns).float()[None, None]


def cut_off(photo: Image.Image, crop: Crop, gone: Tensor, within: Tensor) -> Tensor | None:
    """What stands behind hair that the crop cuts off, and where that hair is.

    Args:
        photo: the whole photo.
        crop: where the head stands in it.
        gone: ``Tensor[1, 1, n, n]`` in 0..1, hair of the canonical image that the result has lost.
        within: ``Tensor[1, 1, n, n]``, see ``facesep.detail.paste.rim``.

    Returns:
        ``Tensor[1, 4, m, m]``, colours and mask in the window ``wider(crop)``; None if no hair that has gone
        touches a border of the crop.
    """
    if float((gone * (within < 0.5)).max()) < 0.5:
        return None
    count, wide = BUNDLED_SIZE, wider(crop)
    shown = to_tensor(wide.apply(photo, count))[None].to(gone)
    places = pixel_grid(count, gone)[None] * (1 + 2 * BEYOND) - BEYOND
    inside = ((places > 0) & (places < 1)).all(1, keepdim=True)
    probabilities = face_probabilities(shown)
    hair, head = probabilities[:, HAIR : HAIR + 1], head_probability(probabilities)
    outer = ~inside | (sample(within, places) < 0.999)
    reached = outer & inside & (sample(gone, places) > 0.5)
    allowed = outer & (hair > LEAST)
    for _ in range(round(count * BEYOND)):  # from what has gone, as far as hair reaches
        reached = (F.max_pool2d(reached.to(gone), 3, 1, 1) > 0) & (allowed | reached)
    near = round(HAZE * count)
    clear = F.max_pool2d(torch.maximum(head, hair), 2 * near + 1, 1, near) < 0.3
    behind = continued(shown, clear.to(gone) * framed(wide, photo, count).to(gone))
    mask = blur(F.max_pool2d(reached.to(gone), 2 * near + 1, 1, near), near / 3)
    return torch.cat((behind, mask), 1).clamp(0, 1)
