"""Annotated portraits as canonical crops with the face parser's labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facesep.data.annotated import Source, read_source
from facesep.data.portraits import PortraitSource
from facesep.faces.crop import Crop
from facesep.nets.face_parser import CLASSES

SIZE = 384
"""Side of a sample in pixels."""
MARGIN = 1.5
"""Side of a sample as a multiple of the canonical window, which therefore measures 256 px."""
OUTSIDE, UNKNOWN = 254, 255
"""Labels of what the photo does not show, and of the holes of turned portraits."""
LEFT_OUT = ("gsa_18f",)
"""Sets whose photos are neither trained on nor measured."""

_INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
CONTOURS = (
    ("brows", (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)),
    ("brows", (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)),
    ("eyes", (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)),
    ("eyes", (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)),
    ("lips", (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)),
    ("mouth", _INNER_LIPS),
)
"""Parts of the face as polygons of MediaPipe's mesh, painted in this order."""
_FINE = 4


def paint_parts(labels: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Adds brows, eyes, lips and the inside of the mouth to a label map.

    Only skin is painted over: hair before a brow stays hair.

    Args:
        labels: ``uint8[H, W]``: 0 background, 1 skin, 2 hair, 3 body; other values stay.
        mesh: ``[478, 2 or 3]`` landmarks in pixels of the map.

    Returns:
        ``uint8[H, W]``, indices into ``facesep.nets.face_parser.CLASSES``.
    """
    painted, skin = labels.copy(), labels == CLASSES.index("skin")
    size = (labels.shape[1] * _FINE, labels.shape[0] * _FINE)
    for name, contour in CONTOURS:
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([tuple(p) for p in (mesh[list(contour), :2] * _FINE).tolist()], fill=255)
        inside = np.asarray(mask.reduce(_FINE)) > 127
        painted[inside & skin] = CLASSES.index(name)
    return painted


def sample(source: Source, size: int = SIZE, margin: float = MARGIN, empty: int = OUTSIDE) -> np.ndarray:
    """A portrait's canonical crop, with a margin around it.

    Args:
        source: the portrait.
        size: side of the result in pixels.
        margin: its side as a multiple of the canonical window.
        empty: the label of what lies outside the photo.

    Returns:
        ``uint8[size, size, 4]``: RGB (white outside the photo) and the label.

    Raises:
        FaceError: if the landmarks give no crop.
    """
    crop = Crop.from_points(source.points)
    side = crop.side * margin
    crop = Crop(crop.left - (side - crop.side) / 2, crop.top - (side - crop.side) / 2, side)
    photo = crop.apply(Image.fromarray(source.pixels[..., :3]), size)
    labels = crop.apply(Image.fromarray(source.pixels[..., 3]), size, fill=empty, resample=Image.NEAREST)
    mesh = crop.to_canonical(source.mesh[:, :2], size)
    return np.dstack((np.asarray(photo), paint_parts(np.asarray(labels), mesh)))


def names_of(portraits: PortraitSource, split: str) -> list[str]:
    """The portraits of a split, without the sets that are left out."""
    rows = portraits.rows.items()
    return [name for name, row in rows if row["split"] == split and name.partition("/")[0] not in LEFT_OUT]


def portraits(folder: Path, split: str, limit: int | None = None) -> Iterator[Source]:
    """The annotated portraits of a split, at most ``limit``, taken evenly."""
    source = PortraitSource(folder)
    names = names_of(source, split)
    chosen = np.linspace(0, len(names) - 1, min(limit or len(names), len(names))).round().astype(int)
    for name in (names[index] for index in chosen):
        mesh = source.landmarks.get(name)
        if mesh is not None and np.isfinite(mesh).all():
            yield read_source(source, name)
