"""Rows of pictures: transfers of single attributes, other views, methods side by side (Figures 3 to 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from PIL import Image

from facesep.data.heads import Photo
from facesep.detail import Portrait
from facesep.errors import ConfigError
from facesep.evaluation.comparison import reconstruct
from facesep.evaluation.renders import Renders
from facesep.evaluation.sheet import Pictures
from facesep.images import to_image
from facesep.model import FaceSep

TRANSFERS = ("expression", "texture", "illumination", "hair", "shape")
"""Attributes of a contact sheet."""
VIEWS = (-35.0, 0.0, 35.0)
"""Yaw of its further views in degrees."""
FIGURE_3 = ("shape", "expression", "texture", "illumination", "hair", "rotation")
"""Attributes that the paper's Figure 3 transfers."""
FIGURE_4 = (-40.0, -20.0, 0.0, 20.0, 40.0)
"""Yaw in degrees at which the paper's Figure 4 shows transferred hair."""


def strips(
    sep: FaceSep,
    photos: Sequence[Photo],
    transfers: Sequence[str] = TRANSFERS,
    views: Sequence[float] = VIEWS,
    on_row: Callable[[int], object] | None = None,
    portraits: Sequence[Portrait] | None = None,
) -> list[Pictures]:
    """Each photo with its render, single attributes of the person of the next row, and further views.

    Args:
        sep: the model.
        photos: one of each row.
        transfers: attributes that are taken from the donor, one at a time.
        views: yaw of the further views in degrees.
        on_row: called with the number of rows done, for progress.
        portraits: of the photos, one each, for results with photo detail; None for plain renders.

    Raises:
        ConfigError: for fewer than two photos.
    """
    rows = []
    for number, (photo, donor) in enumerate(_pairs(photos), start=1):
        if portraits:
            base, other = portraits[number - 1], portraits[number % len(photos)]
        else:
            base, other = (sep.encode(one.aligned) for one in (photo, donor))
        row = {"photo": photo.image, "render": sep.render(base), "donor": donor.image}
        row |= {f"donor's {name}": sep.render(base.swap(other, name)) for name in transfers}
        row |= {_view(yaw): sep.render(base, yaw=yaw) for yaw in views}
        rows.append(row)
        if on_row:
            on_row(number)
    return rows


def hair_views(sep: FaceSep, photos: Sequence[Photo]) -> list[Pictures]:
    """Figure 4: the donor's hair on each person, from several sides.

    Raises:
        ConfigError: for fewer than two photos.
    """
    rows = []
    for photo, donor in _pairs(photos):
        base, other = (sep.encode(one.aligned) for one in (photo, donor))
        mixed = base.swap(other, "hair")
        row = {"photo": photo.image, "hair donor": donor.image, "render": sep.render(base)}
        rows.append(
            row | {f"yaw {yaw:+.0f}": sep.render(mixed, yaw=yaw, pitch=0.0, roll=0.0) for yaw in FIGURE_4}
        )
    return rows


@torch.no_grad()
def methods(
    models: Mapping[str, FaceSep], photos: Sequence[Photo], renders: Sequence[Renders] = ()
) -> list[Pictures]:
    """Figure 5: each photo's head on white, and what every method makes of it; white where there is none."""
    rows = []
    for photo in photos:
        row = {"photo": photo.image, "head on white": to_image(photo.target)}
        row |= {name: to_image(reconstruct(model, [photo])[0]) for name, model in models.items()}
        for method in renders:
            read = method.read(photo.name)
            blank = Image.new("RGB", photo.image.size, "white")
            row[method.name] = blank if read is None else to_image(read)
        rows.append(row)
    return rows


def _pairs(photos: Sequence[Photo]) -> list[tuple[Photo, Photo]]:
    if len(photos) < 2:
        raise ConfigError("transfers need at least two photos: each is the donor of another")
    return [(photo, photos[(row + 1) % len(photos)]) for row, photo in enumerate(photos)]


def _view(yaw: float) -> str:
    return f"yaw {yaw:+.0f}" if yaw else "yaw 0"
