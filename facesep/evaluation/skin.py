"""Skin or light: which code carries the tone of skin, and what the light code does to light."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.analysis.relight import relit_copies
from facesep.codes import Codes
from facesep.data.heads import ShardPhotos, spread
from facesep.errors import DataError
from facesep.evaluation.statistics import Row, estimate, percent, summary_rows
from facesep.faces.types import Aligned
from facesep.images import to_tensor
from facesep.model import FaceSep

COLOURS = ("texture", "illumination")
GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the luma of a map of shading (Rec. 601)."""
CELLS = 16
"""Side of a map of shading: so coarse that features of a face do not count."""

LEAST_CHANGE = 0.03
"""Mean change of luma below which two photos of a person count as lit alike."""

TONE_NOTE = (
    "In a studio all sitters have the same lamps, so what differs between their faces is skin. The "
    "{count} darkest and {count} lightest people of a set ({split}) by the mean CIE L of the face "
    "(label map) on one photo each, not smiling: every dark one takes a code of every light one, and "
    "the other way round. Share: change of the mean L of the plain render, over the difference between "
    "the two people's own renders. In brackets 95 % bootstrap intervals over people."
)
LIGHT_NOTE = (
    "'relit': {photos} photos ({split}), each relit from four sides by the decoder's normals, the mean "
    "of the face unchanged. Share: change of the original's plain render by a code of the relit photo, "
    "projected on the change between the two photos. 'photos of one person': {pairs} ordered pairs of "
    "photos from different sets; share of the change that both codes make together. Maps of luma on the "
    "face, {cells} x {cells} cells a picture. In brackets 95 % bootstrap intervals over people."
)

Progress = Callable[[int, int], object]


def tones(images: Tensor, face: Tensor) -> np.ndarray:
    """Mean CIE L of faces, ``float64[B]``.

    Args:
        images: ``Tensor[B, 3, S, S]`` in 0..1.
        face: ``Tensor[B, 1, S, S]``, weights of the pixels.
    """
    from skimage.color import rgb2lab

    level = rgb2lab(images.clamp(0, 1).permute(0, 2, 3, 1).double().cpu().numpy())[..., 0]
    weight = face[:, 0].double().cpu().numpy()
    return (level * weight).sum((1, 2)) / weight.sum((1, 2))


def extremes(level: np.ndarray, people: Sequence[str], count: int) -> tuple[list[int], list[int]]:
    """Rows of the darkest and of the lightest people, by one photo each.

    Raises:
        DataError: for less than ``2 * count`` people.
    """
    order, first = np.argsort(level, kind="stable").tolist(), {}
    for row in range(len(people)):
        first.setdefault(people[row], row)
    rows = [row for row in order if first[people[row]] == row]
    if len(rows) < 2 * count:
        raise DataError(f"{len(rows)} people are too few for the {count} darkest and the {count} lightest")
    return rows[:count], rows[::-1][:count]


def shares(change: Tensor, whole: Tensor, weight: Tensor) -> Tensor:
    """How much of some changes is in others: ``sum w c t / sum w t^2``, ``Tensor[B]``.

    Args:
        change: c, ``Tensor[B, ...]``.
        whole: t, of the same shape.
        weight: w, of the same shape.
    """
    total = (weight * whole * whole).flatten(1).sum(1)
    return (weight * change * whole).flatten(1).sum(1) / total.clamp_min(1e-12)


def shading_map(images: Tensor) -> Tensor:
    """Luma in coarse cells: ``Tensor[B, 3, S, S]`` to ``Tensor[B, 1, CELLS, CELLS]``."""
    grey = (images * images.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    return F.adaptive_avg_pool2d(grey, CELLS)


class Faces:
    """Photos of one split with their codes and label maps of the face.

    Args:
        sep: the model.
        photos: prepared shards.
        without: names of sets that are left out.

    Raises:
        DataError: if no photo is left.
    """

    def __init__(self, sep: FaceSep, photos: ShardPhotos, without: Sequence[str] = ()) -> None:
        self.sep = sep
        places = [
            place
            for place in range(len(photos))
            if photos.shards.meta(photos.rows[place])["set"] not in without
        ]
        self.photos = [photos.read(place) for place in places]
        if not self.photos:
            raise DataError("no photos are left: all their sets are left out")
        self.people = [photo.person for photo in self.photos]
        self.faces = torch.stack([photos.face(place) for place in places])
        self.images = torch.stack([to_tensor(photo.image) for photo in self.photos])
        self.codes = self.encode([photo.aligned for photo in self.photos])

    def encode(self, crops: Sequence[Aligned]) -> Codes:
        """Codes of canonical crops."""
        return Codes.stack([self.sep.encode(crops[start : start + 16]) for start in range(0, len(crops), 16)])

    def render(self, codes: Codes) -> Tensor:
        """Plain renders of a batch."""
        return self.sep.render(codes, output="tensor").float().cpu()

    def sitters(self, name: str) -> list[int]:
        """Rows of the photos of one set, without those that are labelled as smiling."""
        return [
            row
            for row, photo in enumerate(self.photos)
            if photo.meta["set"] == name and photo.meta.get("expression") != "smiling"
        ]


def summarise(found: Mapping[str, np.ndarray], people: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Means over people by code."""
    return {name: estimate(values, people, seed=seed) for name, values in found.items()}


def rows(summary: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """A table with a row for each kind of pairs."""
    return summary_rows(summary, "pairs", {"photos": str} | dict.fromkeys(COLOURS, percent))


def tone_shares(
    faces: Faces, dark: Sequence[int], light: Sequence[int]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Shares of the difference in skin brightness that codes close.

    Args:
        faces: the photos.
        dark: rows of dark-skinned people.
        light: rows of light-skinned people.

    Returns:
        ``{attribute: [N]}`` for all ordered pairs between the two, and who gets the code.
    """
    rows = [*dark, *light]
    own = dict(zip(rows, tones(faces.render(faces.codes[rows]), faces.faces[rows]).tolist(), strict=True))
    pairs = [(a, b) for a in dark for b in light] + [(a, b) for a in light for b in dark]
    base, donor = ([pair[k] for pair in pairs] for k in (0, 1))
    before, after = (np.array([own[row] for row in rows]) for rows in (base, donor))
    found = {}
    for name in COLOURS:
        images = faces.render(faces.codes[base].swap(faces.codes[donor], name))
        found[name] = (tones(images, faces.faces[base]) - before) / (after - before)
    return found, [faces.people[row] for row in base]


def relit_shares(
    faces: Faces, rows: Sequence[int], on_photo: Progress | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Shares of a change of light that codes carry from a relit photo to the original.

    Args:
        faces: the photos.
        rows: which of them are relit.
        on_photo: called with the numbers of photos done and to do.

    Returns:
        ``{attribute: [N]}``, mean over the directions, and who is on the photo.
    """
    found: dict[str, list[float]] = {name: [] for name in COLOURS}
    for done, row in enumerate(rows, 1):
        own = faces.codes[row]
        others = relit_copies(faces.sep.decoder, own, faces.photos[row], faces.faces[row])
        whole = shading_map(torch.stack([to_tensor(one.image) for one in others]))
        whole = whole - shading_map(faces.images[[row]])
        weight = _cells(faces.faces[[row]]).expand_as(whole)
        found = _with_changes(found, faces, own, faces.encode(others), whole, weight)
        if on_photo:
            on_photo(done, len(rows))
    return {name: np.array(values) for name, values in found.items()}, [faces.people[row] for row in rows]


def photo_pairs(faces: Faces) -> list[tuple[int, int]]:
    """Ordered pairs of photos of one person from different sets, so of different light."""
    rows = range(len(faces.people))
    return [
        (a, b)
        for a in rows
        for b in rows
        if faces.people[a] == faces.people[b] and faces.photos[a].meta["set"] != faces.photos[b].meta["set"]
    ]


def pair_shares(
    faces: Faces, pairs: Sequence[tuple[int, int]], on_pair: Progress | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Shares of what texture and light change together between two photos of a person, by code."""
    found: dict[str, list[float]] = {name: [] for name in COLOURS}
    for done, (row, other) in enumerate(pairs, 1):
        own, donor = faces.codes[[row]], faces.codes[[other]]
        before, after = shading_map(faces.render(Codes.stack([own, own.swap(donor, COLOURS)]))).split(1)
        whole, weight = after - before, _cells(faces.faces[[row]])
        alike = (whole.abs() * weight).sum() < LEAST_CHANGE * weight.sum()
        found = _with_changes(found, faces, own, donor, whole, weight * (math.nan if alike else 1))
        if on_pair:
            on_pair(done, len(pairs))
    return {name: np.array(values) for name, values in found.items()}, [faces.people[row] for row, _ in pairs]


def _with_changes(
    found: dict[str, list[float]], faces: Faces, own: Codes, others: Codes, whole: Tensor, weight: Tensor
) -> dict[str, list[float]]:
    base = Codes.stack([own] * len(others))
    before = shading_map(faces.render(base[[0]]))
    for name, values in found.items():
        change = shading_map(faces.render(base.swap(others, name))) - before
        values.append(float(shares(change, whole, weight).mean()))
    return found


def _cells(face: Tensor) -> Tensor:
    """Cells that lie mostly on the face."""
    return (F.adaptive_avg_pool2d(face, CELLS) > 0.5).float()


def measure(
    faces: Faces,
    studios: Sequence[str],
    count: int,
    limit: int,
    seed: int = 0,
    on_photo: Progress | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Both tables: tone of skin by studio, light by kind of pairs.

    Args:
        faces: the photos.
        studios: names of sets in which everyone has the same light.
        count: darkest and lightest people of a set.
        limit: relit photos, and pairs of photos of one person, taken evenly.
        seed: of the bootstrap.
        on_photo: called with the numbers of photos done and to do.

    Raises:
        DataError: if a set has too few people.
    """
    tone = {}
    for name in studios:
        own = faces.sitters(name)
        level = tones(faces.images[own], faces.faces[own])
        dark, light = extremes(level, [faces.people[row] for row in own], count)
        chosen = tone_shares(faces, [own[k] for k in dark], [own[k] for k in light])
        tone[name] = summarise(*chosen, seed)
    relit_rows = spread(len(faces.people), limit)
    pairs = photo_pairs(faces)
    pairs = [pairs[k] for k in spread(len(pairs), limit)] if pairs else []
    light = {
        "relit": {"photos": len(relit_rows), **summarise(*relit_shares(faces, relit_rows, on_photo), seed)}
    }
    if pairs:
        light["photos of one person"] = {
            "photos": len(pairs),
            **summarise(*pair_shares(faces, pairs, on_photo), seed),
        }
    return tone, light
