"""A photo moved away by photo detail, taken for a photo, and moved back.

What was hidden on the way is missing in the end, and the photo shows how it looks (Zhou et al.,
Rotate-and-Render, CVPR 2020). The Finish network learns from it and is measured by it.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from facesep.detail.portrait import Portrait
from facesep.detail.render import lay, picture
from facesep.detail.source import read_source
from facesep.nets.finish import Draft

if TYPE_CHECKING:
    from facesep.model import FaceSep

YAW, LARGEST_YAW, PITCH = (15.0, 55.0), 60.0, 12.0
"""Turns there in degrees: least and most, the yaw that is not exceeded, and the largest nod."""
KINDS = {"turn": 0.5, "turn and expression": 0.15, "expression": 0.15, "turn and hair": 0.1, "hair": 0.1}
"""What is changed on the way there, and how often."""


def there(portrait: Portrait, donor: Portrait, kind: str, draw: random.Random) -> Portrait:
    """A portrait changed as the way there asks for.

    Args:
        portrait: as it was read.
        donor: another person's, who gives expression or hair.
        kind: one of ``KINDS``.
        draw: chooses the turn.
    """
    if "expression" in kind:
        portrait = portrait.swap(donor.codes, "expression")
    if "hair" in kind:
        portrait = portrait.swap(donor, "hair")
    if "turn" in kind:
        rotation = portrait.codes.rotation.clone()
        yaw = math.degrees(float(rotation[..., 1]))
        # More often across the front than farther to the side that it shows already.
        side = math.copysign(1.0, -yaw if draw.random() < 0.65 else yaw)
        yaw = max(-LARGEST_YAW, min(LARGEST_YAW, yaw + side * draw.uniform(*YAW)))
        rotation[..., 1] = math.radians(yaw)
        rotation[..., 0] += math.radians(draw.uniform(-PITCH, PITCH))
        portrait = portrait.replace(rotation=rotation)
    return portrait


def as_photo(sep: FaceSep, portrait: Portrait, size: int) -> Portrait:
    """A portrait's picture on white, taken for the photo it came from."""
    seen = picture(sep.decoder, sep.landmarks, portrait, size)
    codes = portrait.codes
    return Portrait(codes, read_source(sep.decoder, codes.batch(), lay(seen, "white")), portrait.frames)


def draft_of(sep: FaceSep, portrait: Portrait, size: int) -> Draft:
    """What the Finish network would get of a portrait that has moved."""
    drafts: list[Draft] = []

    def keep(draft: Draft) -> Tensor:
        drafts.append(draft)
        return draft.colours

    picture(sep.decoder, sep.landmarks, portrait, size, finish=keep)
    return drafts[0]


def round_trip(
    sep: FaceSep, portrait: Portrait, donor: Portrait, kind: str, draw: random.Random, size: int
) -> tuple[Draft, Tensor, Tensor]:
    """A portrait there and back.

    Returns:
        The draft, the photo's colours ``Tensor[1, 3, S, S]``, and its matte ``Tensor[1, 1, S, S]``.
    """
    moved = as_photo(sep, there(portrait, donor, kind, draw), size)
    codes = portrait.codes
    back = moved.replace(**{name: getattr(codes, name) for name in ("rotation", "expression", "hair")})
    truth = picture(sep.decoder, sep.landmarks, portrait, size)
    return draft_of(sep, back, size), truth.colours, truth.alpha


def steps(image: Tensor) -> Tensor:
    """Absolute differences of neighbours to the right and below, summed: ``Tensor[B, C, H, W]``."""
    right = F.pad((image[..., :, 1:] - image[..., :, :-1]).abs(), (0, 1))
    below = F.pad((image[..., 1:, :] - image[..., :-1, :]).abs(), (0, 0, 0, 1))
    return right + below
