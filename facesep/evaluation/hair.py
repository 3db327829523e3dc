"""Does a transferred hairstyle look like the donor's? Overlap of hair masks by a tool of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from facesep.errors import ConfigError
from facesep.evaluation.encoded import Encoded
from facesep.evaluation.external import call
from facesep.evaluation.statistics import Row, estimate, percent, summary_rows
from facesep.images import to_image
from facesep.model import FaceSep

DIFFERENT = 0.6
"""Hairstyles that overlap less than this count as clearly different."""

NOTE = (
    "{photos} photos of {people} people ({split}); each gets the hair code of another person's photo, drawn "
    "with seed {seed}. {tool} marks the hair on both photos (heads on white) and on the render. Overlap: "
    "intersection over union of two masks in the canonical square. 'donor nearer': share of transfers whose "
    "hair overlaps more with the donor's photo than with the source's. Heads keep their own pose and shape, "
    "which bounds the overlap that is possible. 'clearly different': the two photos' hair overlaps by less "
    "than {different}. In brackets 95 % bootstrap intervals over people."
)


@dataclass(frozen=True)
class Overlaps:
    """Of ``N`` transfers, ``[N]`` each; NaN where neither mask has a pixel.

    Attributes:
        donor: transfer and donor's photo.
        source: transfer and source's photo.
        before: render before the transfer and source's photo.
        photos: both photos.
    """

    donor: np.ndarray
    source: np.ndarray
    before: np.ndarray
    photos: np.ndarray


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boolean masks ``[N, H, W]``: ``[N]``, NaN where both are empty."""
    both, either = (a & b).sum((1, 2)), (a | b).sum((1, 2))
    with np.errstate(invalid="ignore"):
        return np.where(either > 0, both / np.maximum(either, 1), np.nan)


def draw(people: Sequence[str], seed: int) -> list[int]:
    """A donor for each photo: a photo of another person.

    Raises:
        ConfigError: if all photos show one person.
    """
    random = np.random.default_rng(seed)
    names = np.array(people)
    if len(set(people)) < 2:
        raise ConfigError("hair can be transferred only between photos of at least two people")
    return [int(random.choice(np.flatnonzero(names != one))) for one in people]


@torch.no_grad()
def measure(
    sep: FaceSep,
    photos: Encoded,
    command: str,
    seed: int = 0,
    on_photo: Callable[[int, int], object] | None = None,
) -> Overlaps:
    """Transfers the hair and compares masks.

    Args:
        sep: the model.
        photos: sources and donors.
        command: the tool, see ``facesep.evaluation.external.call``; its array ``masks`` is
            ``[M, H, W]`` of 0 and 1, in any resolution.
        seed: of the draw of donors.
        on_photo: called with the numbers of photos done and to do.

    Raises:
        ConfigError: if the tool fails.
    """
    donors = draw(photos.people, seed)
    before, after = [], []
    for row, donor in enumerate(donors):
        own, other = photos.codes[[row]], photos.codes[[donor]]
        before += sep.render(own)
        after += sep.render(own.swap(other, "hair"))
        if on_photo:
            on_photo(row + 1, len(donors))
    return compare([*map(to_image, photos.targets)], before, after, donors, command)


def compare(
    photos: Sequence[Image.Image],
    before: Sequence[Image.Image],
    after: Sequence[Image.Image],
    donors: Sequence[int],
    command: str,
) -> Overlaps:
    """Compares the hair on photos and results.

    Args:
        photos: heads on white.
        before: their renders.
        after: the same with the donor's hair.
        donors: row of each photo's donor.
        command: the tool, see ``measure``.

    Raises:
        ConfigError: if the tool fails.
    """
    pictures = [*photos, *before, *after]
    rows, found = call(command, pictures, "masks")
    if rows != list(range(len(pictures))) or found.ndim != 3:
        raise ConfigError(
            f"the mask command must give one mask [H, W] for each of {len(pictures)} pictures, it gave "
            f"{found.shape}"
        )
    real, first, moved = np.split(found > 0.5, 3)
    return Overlaps(
        donor=overlap(moved, real[donors]),
        source=overlap(moved, real),
        before=overlap(first, real),
        photos=overlap(real, real[donors]),
    )


def summarise(found: Overlaps, people: Sequence[str], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Over all transfers, and over those between clearly different hairstyles."""
    known = ~np.isnan(found.donor) & ~np.isnan(found.source)
    columns = {
        "donor nearer": np.where(known, found.donor > found.source, np.nan),
        "overlap with donor": found.donor,
        "with source": found.source,
        "source's own render": found.before,
        "the two photos": found.photos,
    }
    result: dict[str, dict[str, Any]] = {}
    for name, chosen in (("all", known), ("clearly different", known & (found.photos < DIFFERENT))):
        some = np.flatnonzero(chosen)
        who = [people[row] for row in some]
        means = {column: estimate(values[some], who, seed=seed) for column, values in columns.items()}
        result[name] = {"transfers": len(some), **means}
    return result


def rows(summary: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """The table."""
    columns = dict.fromkeys(next(iter(summary.values())), "{:.2f}".format) | {"donor nearer": percent}
    return summary_rows(summary, "pairs", columns)
