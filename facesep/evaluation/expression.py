"""Does a transferred expression move the mouth? Measured on people with two known expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from facesep.data.heads import Photo
from facesep.evaluation.mouth import MouthTool
from facesep.evaluation.statistics import Estimate, Row, estimate, percent
from facesep.model import FaceSep

EXPRESSIONS = ("neutral", "smiling")

NOTE = (
    "The expression code of one photo is put among the codes of the other photo of the same person, and the "
    "render is measured by {tool}. 'towards the donor': share of transfers whose mouth is nearer to the "
    "mouth on the donor's photo than that of the render before the transfer is; moving nothing would give "
    "half by noise. 'way': how far the mouth moved from one to the other, as a share of the difference "
    "between the two photos. A render without a face that the tool finds counts as not moved. 'donor's own "
    "render' does the same with the donor's reconstruction in place of the transfer; 'photos' is how often "
    "the tool finds the photo marked smiling wider than the neutral one. In brackets 95 % bootstrap "
    "intervals over people."
)


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of one transfer.

    Attributes:
        person: who it is.
        direction: such as ``neutral to smiling``.
        before: render of the base photo.
        after: the same with the donor's expression.
        donor_render: render of the donor photo.
        base_photo: canonical crop.
        donor_photo: canonical crop.
    """

    person: str
    direction: str
    before: Image.Image
    after: Image.Image
    donor_render: Image.Image
    base_photo: Image.Image
    donor_photo: Image.Image


@dataclass(frozen=True)
class Moves:
    """What a tool saw, ``[N]`` for each transfer.

    Attributes:
        towards: 1 where the mouth came nearer to the donor's.
        way: share of the way between the photos that the mouth moved; NaN where the tool found no face.
    """

    towards: np.ndarray
    way: np.ndarray


def pairs(photos: Iterable[Photo]) -> list[tuple[Photo, Photo]]:
    """(neutral, smiling) photos of the people who have both."""
    found: dict[str, dict[str, Photo]] = {}
    for photo in photos:
        if photo.meta.get("expression") in EXPRESSIONS:
            found.setdefault(photo.person, {}).setdefault(photo.meta["expression"], photo)
    return [tuple(one[e] for e in EXPRESSIONS) for one in found.values() if len(one) == len(EXPRESSIONS)]


def transfers(
    sep: FaceSep,
    photos: list[tuple[Photo, Photo]],
    steps: int = 0,
    on_pair: Callable[[int], object] | None = None,
) -> list[Pictures]:
    """Renders both directions of each pair, with so many gradient steps on the codes of each photo."""
    result = []
    for done, pair in enumerate(photos, start=1):
        codes = [sep.encode(photo.aligned, fit=steps) for photo in pair]
        renders = [sep.render(one) for one in codes]
        for base, donor in ((0, 1), (1, 0)):
            after = sep.render(codes[base].swap(codes[donor], "expression"))
            result.append(
                Pictures(
                    pair[base].person,
                    f"{EXPRESSIONS[base]} to {EXPRESSIONS[donor]}",
                    renders[base],
                    after,
                    renders[donor],
                    pair[base].image,
                    pair[donor].image,
                )
            )
        if on_pair:
            on_pair(done)
    return result


def moves(before: np.ndarray, after: np.ndarray, base: np.ndarray, donor: np.ndarray) -> Moves:
    """Whether mouths moved towards the donor's.

    Args:
        before: ``[N, K]`` mouth shapes on the renders of the base photos.
        after: on the renders after the transfer.
        base: on the base photos.
        donor: on the donor photos.
    """
    nearer = np.linalg.norm(after - donor, axis=1) < np.linalg.norm(before - donor, axis=1)
    difference = donor - base
    way = ((after - before) * difference).sum(1) / np.square(difference).sum(1)
    return Moves(nearer.astype(np.float64), way)  # a comparison with NaN is false: not found, not moved


@dataclass(frozen=True)
class Summary:
    """What one tool says about all transfers of a direction.

    Attributes:
        direction: ``neutral to smiling``, ``smiling to neutral`` or ``both``.
        transfers: how many.
        found: share of the transferred renders in which the tool found a face.
        towards: share that moved towards the donor.
        way: mean share of the way.
        own_towards: the same share for the donor's own render.
        own_way: the same way for it.
    """

    direction: str
    transfers: int
    found: float
    towards: Estimate
    way: Estimate | None
    own_towards: Estimate
    own_way: Estimate | None


def summarise(pictures: list[Pictures], tool: MouthTool, seed: int = 0) -> tuple[list[Summary], float]:
    """Measures all pictures with a tool.

    Returns:
        A summary for each direction and for both, and the share of pairs of photos in which the tool
        sees the wider mouth on the smiling one.
    """
    kinds = ("before", "after", "donor_render", "base_photo", "donor_photo")
    shapes = tool.mouths([getattr(one, kind) for kind in kinds for one in pictures])
    before, after, own, base, donor = np.split(shapes, len(kinds))
    moved, reference = moves(before, after, base, donor), moves(before, own, base, donor)
    directions = np.array([one.direction for one in pictures])
    found = ~np.isnan(after).any(1)
    result = []
    for direction in (*dict.fromkeys(directions.tolist()), "both"):
        rows = np.arange(len(pictures)) if direction == "both" else np.flatnonzero(directions == direction)
        people = [pictures[row].person for row in rows]
        columns = (moved.towards, moved.way, reference.towards, reference.way)
        estimates = [estimate(column[rows], people, seed=seed) for column in columns]
        result.append(Summary(direction, len(rows), float(found[rows].mean()), *estimates))
    smiles = directions == f"{EXPRESSIONS[0]} to {EXPRESSIONS[1]}"
    wider = _width(donor[smiles]) > _width(base[smiles])
    return result, float(wider.mean())


def _width(shapes: np.ndarray) -> np.ndarray:
    """Width of mouths: the first number of two, or the extent in x of lip points."""
    return shapes[:, 0] if shapes.shape[1] == 2 else np.ptp(shapes[:, 0::2], axis=1)


def rows(summaries: list[Summary], photos: float) -> list[Row]:
    """The table of one tool."""
    return [
        {
            "transfer": one.direction,
            "transfers": one.transfers,
            "towards the donor": one.towards.text(percent),
            "way": one.way and one.way.text(percent),
            "donor's own render": one.own_towards.text(percent, False),
            "its way": one.own_way and one.own_way.text(percent, False),
            "face found": percent(one.found),
            "photos": percent(photos),
        }
        for one in summaries
    ]
