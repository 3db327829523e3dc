"""How well the bundled parser labels portraits: intersection over union, distance of the head's outline.

The truth are label maps made by automatic tools; brows, eyes, lips and mouth are polygons of face-mesh
landmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facesep.data.annotated import Source
from facesep.data.part_labels import OUTSIDE, portraits, sample
from facesep.errors import FaceError
from facesep.faces.parsing import face_probabilities
from facesep.nets.face_parser import CLASSES, HAIR

SIZE = 256
NEAR = 0.01
"""An outline counts as right when its mean distance to the label's is at most this share of the side."""
FACE = tuple(index for index, name in enumerate(CLASSES) if name not in ("background", "hair", "body"))
HEAD = (*FACE, HAIR)
REGIONS = {"head": HEAD, "face": FACE}
REGIONS |= {name: (index,) for index, name in enumerate(CLASSES) if name != "skin"}
"""What is measured: face is skin with brows, eyes, lips and mouth; head is face and hair."""
Parse = Callable[[Tensor], Tensor]


@dataclass
class Measured:
    """One photo.

    Attributes:
        set: the set it comes from.
        shared: per region of ``REGIONS``, pixels in both maps.
        either: the same, pixels in one or both.
        off: mean distance of the two outlines of the head as a share of the side; NaN without an outline.
    """

    set: str
    shared: np.ndarray
    either: np.ndarray
    off: float


def border(mask: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Points ``float32[N, 2]`` between pixels of a mask and pixels beside it, inside the photo alone.

    Args:
        mask: ``bool[H, W]``.
        photo: ``bool[H, W]``, where the photo is.
    """
    points = []
    for axis in (0, 1):
        first, second = (np.moveaxis(array, axis, 0) for array in (mask, photo))
        edge = (first[1:] != first[:-1]) & second[1:] & second[:-1]
        along, across = np.nonzero(edge)
        pair = (along + 1.0, across + 0.5)
        points.append(np.stack(pair if axis == 0 else pair[::-1], 1))
    return np.concatenate(points).astype(np.float32)


def outline_distance(found: np.ndarray, true: np.ndarray, photo: np.ndarray) -> float:
    """Mean distance of two masks' outlines, in pixels: from points of each to the nearest of the other.

    Args:
        found: ``bool[H, W]``.
        true: ``bool[H, W]``.
        photo: ``bool[H, W]``, where the photo is: its border is nobody's outline.
    """
    a, b = (torch.from_numpy(border(mask, photo)) for mask in (found, true))
    if not len(a) or not len(b):
        return float("nan")
    distances = torch.cdist(a, b)
    return float((distances.amin(1).mean() + distances.amin(0).mean()) / 2)


def measure_one(source: Source, parse: Parse = face_probabilities) -> Measured:
    """Parses the canonical crop of a portrait and compares it with its labels.

    Raises:
        FaceError: if the landmarks give no crop.
    """
    pixels = sample(source, SIZE, 1.0)
    photo = pixels[..., 3] != OUTSIDE
    true = np.where(photo, pixels[..., 3], 0)
    image = torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        found = parse(image)[0].argmax(0).numpy()
    pairs = [(np.isin(found, of), np.isin(true, of)) for of in REGIONS.values()]
    return Measured(
        source.name.partition("/")[0],
        np.array([(a & b).sum() for a, b in pairs]),
        np.array([(a | b).sum() for a, b in pairs]),
        outline_distance(*pairs[0], photo) / SIZE,
    )


def measure(
    folder: Path, split: str, limit: int | None = None, on_photo: Callable[[int], None] | None = None
) -> list[Measured]:
    """All portraits of a split (or some, taken evenly), see ``measure_one``."""
    sources: Iterable[Source] = portraits(folder, split, limit)
    out = []
    for source in sources:
        try:
            out.append(measure_one(source))
        except FaceError:
            continue
        if on_photo:
            on_photo(len(out))
    return out


def summarise(photos: list[Measured]) -> dict[str, dict[str, float]]:
    """Numbers by set, and of all photos together (``all``).

    Returns:
        For each set: ``photos``, the intersection over union of each region (pixels of all photos
        together), ``outline`` (median of the distances, share of the side) and ``outline_right`` (share of
        photos within ``NEAR``).
    """
    groups = {"all": photos}
    for name in sorted({photo.set for photo in photos}):
        groups[name] = [photo for photo in photos if photo.set == name]
    out = {}
    for name, group in groups.items():
        shared = np.sum([photo.shared for photo in group], 0)
        either = np.sum([photo.either for photo in group], 0)
        off = np.array([photo.off for photo in group])
        out[name] = {
            "photos": len(group),
            **dict(zip(REGIONS, (shared / np.maximum(either, 1)).tolist(), strict=True)),
            "outline": float(np.nanmedian(off)),
            "outline_right": float((off <= NEAR).mean()),
        }
    return out


def as_markdown(summary: dict[str, dict[str, float]]) -> str:
    """The summary as a table."""
    columns = [*REGIONS, "outline", "outline_right"]
    titles = [*REGIONS, "outline off, % of the side (median)", f"outline within {NEAR:.0%}"]
    lines = [f"| set | photos | {' | '.join(titles)} |", "|---|" + "---|" * (len(titles) + 1)]
    for name, row in summary.items():
        cells = [f"{row[column]:.3f}" for column in REGIONS]
        cells += [f"{100 * row[columns[-2]]:.2f}", f"{100 * row[columns[-1]]:.0f} %"]
        lines.append(f"| {name} | {row['photos']:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)
