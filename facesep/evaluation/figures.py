"""The paper's picture grids: transfers (Figure 3), hair at other views (4), methods side by side (5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from PIL import Image

from facesep.data.heads import Photo
from facesep.errors import ConfigError
from facesep.evaluation.comparison import reconstruct
from facesep.evaluation.renders import Renders
from facesep.evaluation.sheet import Strip
from facesep.images import to_image
from facesep.model import FaceSep

TRANSFERS = ("shape", "expression", "texture", "illumination", "hair", "rotation")
YAWS = (-40.0, -20.0, 0.0, 20.0, 40.0)
"""Degrees at which the hair transfer is seen."""


def transfers(sep: FaceSep, photos: Sequence[Photo]) -> list[Strip]:
    """Figure 3: each row takes one attribute at a time from the person of the next row.

    Raises:
        ConfigError: for fewer than two photos.
    """
    rows = []
    for photo, donor in _pairs(photos):
        base, other = (sep.encode(one.aligned) for one in (photo, donor))
        swapped = {f"donor's {name}": sep.render(base.swap(other, name)) for name in TRANSFERS}
        rows.append(
            Strip({"photo": photo.image, "render": sep.render(base), "donor": donor.image, **swapped})
        )
    return rows


def hair_views(sep: FaceSep, photos: Sequence[Photo]) -> list[Strip]:
    """Figure 4: the donor's hair on each person, from several sides.

    Raises:
        ConfigError: for fewer than two photos.
    """
    rows = []
    for photo, donor in _pairs(photos):
        base, other = (sep.encode(one.aligned) for one in (photo, donor))
        mixed = base.swap(other, "hair")
        views = {f"yaw {yaw:+.0f}": sep.render(mixed, yaw=yaw, pitch=0.0, roll=0.0) for yaw in YAWS}
        rows.append(
            Strip({"photo": photo.image, "hair donor": donor.image, "render": sep.render(base), **views})
        )
    return rows


@torch.no_grad()
def methods(
    models: Mapping[str, FaceSep], photos: Sequence[Photo], renders: Sequence[Renders] = ()
) -> list[Strip]:
    """Figure 5: each photo's head on white, and what every method makes of it; white where there is none."""
    rows = []
    for photo in photos:
        pictures = {"photo": photo.image, "head on white": to_image(photo.target)}
        pictures |= {name: to_image(reconstruct(model, [photo])[0]) for name, model in models.items()}
        for method in renders:
            read = method.read(photo.name)
            blank = Image.new("RGB", photo.image.size, "white")
            pictures[method.name] = blank if read is None else to_image(read)
        rows.append(Strip(pictures))
    return rows


def _pairs(photos: Sequence[Photo]) -> list[tuple[Photo, Photo]]:
    if len(photos) < 2:
        raise ConfigError("a figure of transfers needs at least two photos: each is the donor of another")
    return [(photo, photos[(row + 1) % len(photos)]) for row, photo in enumerate(photos)]
