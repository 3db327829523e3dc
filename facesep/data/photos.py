"""Sources of plain photos: find the face, crop it, get its label map."""

from __future__ import annotations

import csv
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facesep.camera import WINDOW
from facesep.data.labels import LabelMaps, accessories, shard_labels
from facesep.data.source import STRICTNESS, Prepared, RejectError, Source, drawn_split, in_two_splits
from facesep.errors import (
    Box,
    ConfigError,
    DataError,
    FaceError,
    ImageError,
    ManyFacesError,
    SmallFaceError,
    TurnedFaceError,
)
from facesep.faces.alignment import NOTED_ENLARGEMENT, check, choose, find_faces
from facesep.faces.crop import Crop
from facesep.faces.types import TEMPLATE_INTEROCULAR, Face
from facesep.images import load_image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
VAL_SHARE = 0.05
LEAST_OVERLAP = 0.2
"""Intersection over union of a found face with the given box below which it is another face."""
NOTED_ACCESSORY = 0.002
"""Share of the crop from which on an accessory counts."""
SHARP_AT_256 = 256 * TEMPLATE_INTEROCULAR / WINDOW / NOTED_ENLARGEMENT
"""Least pixels between the eyes of a photo that is sharp at 256 (35)."""


@dataclass(frozen=True)
class Photo:
    """What a source knows about a photo before it looks at it.

    Attributes:
        file: path below the root.
        split: ``train``, ``val`` or ``test``.
        person: who it shows; empty when not known.
        box: left, top, right, bottom of the face in pixels of the photo; None when not known.
        known: further facts for the record.
    """

    file: str
    split: str
    person: str = ""
    box: Box | None = None
    known: dict[str, Any] = field(default_factory=dict)


class PhotoSource(Source):
    """Photos whose faces are to be found.

    Args:
        root: the folder.
        maps: where label maps come from.
        detector: see ``facesep.faces.find_faces``.
        weights_dir: folder of the detector's weights.
        reject_accessories: leaves out photos that show a hat, earring or necklace; else only these pixels
            are kept out of the head.
        val_share: share of the people (or photos) that are put aside, where the data set has no split.

    Raises:
        DataError: if the folder does not hold what the source expects.
    """

    def __init__(
        self,
        root: str | Path,
        maps: LabelMaps,
        detector: str = "bundled",
        weights_dir: str | Path | None = None,
        reject_accessories: bool = False,
        val_share: float = VAL_SHARE,
    ) -> None:
        if not 0 <= val_share < 1:
            raise ConfigError(f"the share of val photos must be at least 0 and below 1, got {val_share}")
        self.root, self.maps, self.detector, self.weights_dir = Path(root), maps, detector, weights_dir
        self.reject_accessories, self.val_share = reject_accessories, val_share
        if not self.root.is_dir():
            raise DataError(f"there is no folder {root}")
        if not self._photos:
            raise DataError(f"{root} holds no photos of the layout of {self.name}: see docs/training.md")

    @abstractmethod
    def listing(self) -> Iterator[tuple[str, Photo]]:
        """Names and photos in a fixed order."""

    @cached_property
    def _photos(self) -> dict[str, Photo]:
        return dict(self.listing())

    def names(self) -> list[str]:
        """Names in the order of the listing."""
        return list(self._photos)

    def path(self, name: str) -> Path:
        """The photo's file."""
        return self.root / self._photos[name].file

    def facts(self, name: str) -> list[Any]:
        """What the listing says."""
        return list(asdict(self._photos[name]).values())

    def settings(self) -> dict[str, Any]:
        """Detector, label maps and what happens to accessories."""
        rejected = {"reject_accessories": self.reject_accessories}
        return {"detector": self.detector, **self.maps.settings, **rejected}

    def excluded(self) -> dict[str, str]:
        """Photos of people who are in two splits."""
        return in_two_splits((name, one.person, one.split) for name, one in self._photos.items())

    def drawn_split(self, name: str, person: str) -> str:
        """Split of a photo whose data set has none: people stay together."""
        return drawn_split(f"{self.name}/{person or name}", self.val_share)

    def expected_box(self, known: Photo, photo: Image.Image) -> Box | None:
        """Where the face should be; None when it can be anywhere."""
        return known.box

    def prepare(self, name: str, size: int) -> Prepared:
        """Finds the face, crops it with its label map."""
        known = self._photos[name]
        try:
            photo = load_image(self.path(name))
        except ImageError as error:
            raise RejectError("unreadable photo") from error
        face = self._face(photo, self.expected_box(known, photo))
        try:
            crop = Crop.from_points(face.points)
            image = crop.apply(photo, size)
        except FaceError as error:
            raise RejectError("no usable crop") from error
        labels = self.maps.crop(name, photo, crop, image)
        worn = accessories(labels)
        if self.reject_accessories:
            for accessory, share in worn.items():
                if share >= NOTED_ACCESSORY:
                    raise RejectError(f"wears {accessory}")
        meta = {
            "name": name,
            "set": self.name,
            "split": known.split,
            "person": known.person,
            **known.known,
            "size": size,
            "crop": [round(v, 3) for v in (crop.left, crop.top, crop.side)],
            "points5": np.round(crop.to_canonical(face.points, size), 2).tolist(),
            "interocular": round(face.interocular, 1),
            "yaw": round(face.yaw, 1) if np.isfinite(face.yaw) else None,
            "roll": round(face.roll, 1),
            "good_at_256": int(face.interocular >= SHARP_AT_256),
            **({"accessories": worn} if worn else {}),
        }
        return Prepared(image, Image.fromarray(shard_labels(labels)), meta)

    def _face(self, photo: Image.Image, box: Box | None) -> Face:
        """The face that is meant.

        Raises:
            RejectError: if there is none, or none that can be used.
        """
        faces = find_faces(photo, self.detector, self.weights_dir)
        try:
            if box is not None:
                faces = sorted(faces, key=lambda face: -overlap(face.box, box))[:1]
                if faces and overlap(faces[0].box, box) < LEAST_OVERLAP:
                    raise RejectError("no face in the given box")
            if not faces:
                raise RejectError("no face")
            face, _ = choose(faces, None)
            check(face)
        except ManyFacesError as error:
            raise RejectError("several faces") from error
        except SmallFaceError as error:
            raise RejectError("face too small") from error
        except TurnedFaceError as error:
            raise RejectError("head turned too far") from error
        return face


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


class FolderSource(PhotoSource):
    """Any folder of photos, with folders in it or without.

    ``people.csv`` in it may name people and splits: columns ``name`` (path below the folder) and
    ``person``, and ``split`` if wanted.
    """

    name = "folder"

    def listing(self) -> Iterator[tuple[str, Photo]]:
        """All pictures below the folder, sorted by path."""
        people = self._people()
        files = [p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file()]
        for file in sorted(files):
            if Path(file).suffix.lower() in SUFFIXES and not Path(file).name.startswith("."):
                person, split = people.get(file, ("", ""))
                yield file, Photo(file, split or self.drawn_split(file, person), person)

    def _people(self) -> dict[str, tuple[str, str]]:
        path = self.root / "people.csv"
        if not path.is_file():
            return {}
        try:
            rows = read_table(path, ("name", "person"))
            people = {row["name"]: (row["person"], row.get("split") or "") for row in rows}
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {path}: {error}") from error
        wrong = {split for _, split in people.values()} - {"", *STRICTNESS}
        if wrong:
            raise DataError(f"{path} names the unknown split {wrong.pop()!r}: use {', '.join(STRICTNESS)}")
        return people


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Rows of a CSV file with a header.

    Raises:
        ValueError: if a column is missing.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
        yield from reader
