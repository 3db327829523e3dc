"""A plain folder of photos as evaluation data: detected, aligned, with head masks."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from facesep.data.heads import SUFFIXES, Photo, PhotoSet, spread
from facesep.data.shards import file_sha256
from facesep.errors import DataError
from facesep.faces.parsing import head_mask, parse
from facesep.faces.types import Aligned
from facesep.images import load_image

MASK = ".mask.png"
"""Ending of a head mask beside its photo: white on face, ears, hair and glasses."""
LABELS = "labels.csv"
"""What is known about photos: a column ``name``, and any of person, set, expression, licence, credit, ..."""


class FolderPhotos(PhotoSet):
    """Photos of a folder, in the order of their names.

    A photo's head mask is ``<name>.mask.png`` beside it, as large as the photo; without one a parser
    makes it. ``labels.csv`` may say who is on a photo and what else is known.

    Args:
        folder: with ``.jpg``, ``.jpeg`` or ``.png`` photos.
        size: side of the crops in pixels.
        align: photo to aligned face.
        parser: ``bundled``, ``bisenet`` or ``parsenet``, for photos without a mask.
        weights: folder with the weights of facexlib's.
        limit: only so many photos, taken evenly.

    Raises:
        DataError: if there is no photo, a mask is missing and no parser is given, or labels are damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        size: int,
        align: Callable[[Image.Image], Aligned],
        parser: str | None = None,
        weights: str | Path | None = None,
        limit: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        paths = sorted(
            path
            for path in (self.folder.rglob("*") if self.folder.is_dir() else ())
            if path.suffix.lower() in SUFFIXES and not path.name.endswith(MASK)
        )
        if not paths:
            raise DataError(f"{folder} has no photos ({', '.join(SUFFIXES)}): check the path")
        super().__init__(size, align)
        self.paths = [paths[row] for row in spread(len(paths), limit)]
        bare = [path for path in self.paths if not _mask_path(path).is_file()]
        if bare and parser is None:
            raise DataError(
                f"{bare[0].name} and {len(bare) - 1} other photos have no head mask: put NAME{MASK} beside "
                "each, or name a parser with --parser and the folder of its weights"
            )
        self.parser = parser
        self.weights = weights
        self.labels = _labels(self.folder / LABELS)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, place: int) -> str:
        """Name of the photo at a place: its path in the folder without suffix."""
        return self.paths[place].relative_to(self.folder).with_suffix("").as_posix()

    def origin(self) -> dict[str, Any]:
        """What tells this selection from others."""
        sums = {self.name(place): file_sha256(path) for place, path in enumerate(self.paths)}
        return {"photos": sums, "size": self.size, "parser": self.parser}

    def read(self, place: int) -> Photo | None:
        """The photo at a place, None if detection or alignment refuses it."""
        path, name = self.paths[place], self.name(place)
        found = self.aligned(path)
        if found is None:
            return None
        photo, aligned = found
        mask = self._mask(path, photo, aligned)
        meta = {"name": name, **self.labels.get(name, {})}
        return Photo(name, meta.get("person") or name, meta, aligned, torch.from_numpy(mask)[None])

    def _mask(self, path: Path, photo: Image.Image, aligned: Aligned) -> np.ndarray:
        file = _mask_path(path)
        if not file.is_file():
            return head_mask(parse(aligned.image, self.parser, self.weights)).astype(np.float32)
        mask = load_image(file).convert("L")
        if mask.size != photo.size:
            raise DataError(
                f"{file} is {mask.width} x {mask.height}, its photo {photo.width} x {photo.height}"
            )
        cut = aligned.crop.apply(mask, self.size, fill=0)
        return np.asarray(cut, np.float32) / 255


def _mask_path(path: Path) -> Path:
    return path.with_name(path.stem + MASK)


def _labels(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"cannot read {path} ({error}): save it as CSV in UTF-8") from error
    if rows and "name" not in rows[0]:
        raise DataError(f"{path} needs a column 'name' with the photos' names without suffix")
    return {row["name"]: {key: value for key, value in row.items() if key and value} for row in rows}
