"""The portraits source: photos that come with landmarks, label maps and splits.

A folder with ``index.csv`` (name, split, person, expression, ..., licence, credit), ``landmarks.npz``
(478 MediaPipe points of each photo) and, for each name, ``<name>.jpg`` and ``<name>.label.png``.
"""

from __future__ import annotations

import csv
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from facesep.data.source import Prepared, RejectError, Source, in_two_splits
from facesep.errors import DataError, FaceError
from facesep.faces.crop import Crop

IRISES, NOSE_TIP, MOUTH_CORNERS = (468, 473), 4, (61, 291)
"""Vertices of the MediaPipe mesh that serve as the five points."""
MIN_INTEROCULAR = 16.0
"""Photos with fewer pixels between the irises hold no face worth learning from."""


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Eyes, nose tip and mouth corners ``[5, 2]``, image left first, from ``[478, 2 or 3]``."""
    eyes, mouth = (sorted(landmarks[list(pair), :2].tolist()) for pair in (IRISES, MOUTH_CORNERS))
    return np.array([*eyes, landmarks[NOSE_TIP, :2], *mouth])


class PortraitSource(Source):
    """Reads a portraits folder.

    Args:
        root: the folder with ``index.csv``.

    Raises:
        DataError: if it is not such a folder.
    """

    name = "portraits"

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        for file in ("index.csv", "landmarks.npz"):
            if not (self.root / file).is_file():
                raise DataError(f"{root} has no {file}: it is not a portraits folder")

    @cached_property
    def rows(self) -> dict[str, dict[str, str]]:
        """The table, by name."""
        with open(self.root / "index.csv", newline="", encoding="utf-8") as file:
            return {row["name"]: row for row in csv.DictReader(file)}

    @cached_property
    def landmarks(self) -> dict[str, np.ndarray]:
        """Points of the MediaPipe mesh in pixels, ``float32 [478, 3]``, by name."""
        with np.load(self.root / "landmarks.npz") as file:
            return dict(zip(file["names"].tolist(), file["landmarks"], strict=True))

    def names(self) -> list[str]:
        """Names in the order of the table."""
        return list(self.rows)

    def path(self, name: str) -> Path:
        """The photo's file."""
        return self.root / f"{name}.jpg"

    def facts(self, name: str) -> dict[str, str]:
        """The photo's row of the table."""
        return self.rows[name]

    def excluded(self) -> dict[str, str]:
        """Photos of people who are listed in two splits."""
        return in_two_splits((name, row["person"], row["split"]) for name, row in self.rows.items())

    def prepare(self, name: str, size: int) -> Prepared:
        """Crops one photo with its label map and moves its landmarks into the crop."""
        row, landmarks = self.rows[name], self.landmarks.get(name)
        if landmarks is None or not np.isfinite(landmarks).all():
            raise RejectError("no landmarks")
        points = five_points(landmarks)
        interocular = float(np.linalg.norm(points[1] - points[0]))
        if interocular < MIN_INTEROCULAR:
            raise RejectError("face too small")
        try:
            with Image.open(self.path(name)) as photo, Image.open(self._label(name)) as label:
                photo, label = ImageOps.exif_transpose(photo).convert("RGB"), label.convert("L")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise RejectError("unreadable photo or label map") from error
        if photo.size != label.size:
            raise RejectError("photo and label map differ in size")
        try:
            crop = Crop.from_points(points)
            image = crop.apply(photo, size)
            mask = crop.apply(label, size, fill=0, resample=Image.NEAREST)
        except FaceError as error:
            raise RejectError("no usable crop") from error
        scale = size / crop.side
        moved = np.concatenate([crop.to_canonical(landmarks[:, :2], size), landmarks[:, 2:] * scale], 1)
        meta = {
            "name": name,
            "set": name.partition("/")[0],
            **{key: row[key] for key in ("split", "person", "expression", "licence", "credit")},
            "size": size,
            "crop": [round(crop.left, 3), round(crop.top, 3), round(crop.side, 3)],
            "points5": np.round(crop.to_canonical(points, size), 2).tolist(),
            "landmarks": np.round(moved, 1).tolist(),
            "interocular": round(interocular, 1),
            "yaw": float(row["yaw"]),
            "roll": float(row["roll"]),
            "good_at_256": int(row["good_at_256"]),
        }
        return Prepared(image, mask, meta)

    def _label(self, name: str) -> Path:
        return self.root / f"{name}.label.png"
