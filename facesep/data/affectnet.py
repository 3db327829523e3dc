"""AffectNet, in both layouts in which it is given out: tables with face boxes, or crops with annotations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facesep.data.photos import Photo, PhotoSource, read_table
from facesep.errors import Box, DataError

EXPRESSIONS = (
    *("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"),
    *("none", "uncertain", "no face"),
)
NO_FACE = EXPRESSIONS.index("no face")
TABLES = {"training.csv": "train", "validation.csv": "val"}
IMAGES = ("Manually_Annotated_Images", "Automatically_Annotated_Images", ".")
"""Folders that the tables' paths may be relative to."""
SPLITS = {"train_set": "train", "val_set": "val"}


class AffectNetSource(PhotoSource):
    """AffectNet with its labels and boxes.

    Either ``training.csv`` and ``validation.csv`` (columns ``subDirectory_filePath``, ``face_x``,
    ``face_y``, ``face_width``, ``face_height``, ``expression``, ``valence``, ``arousal``) beside
    ``Manually_Annotated_Images``; or ``train_set`` and ``val_set`` with ``images/0.jpg`` and
    ``annotations/0_exp.npy``, ``0_val.npy``, ``0_aro.npy``.
    """

    name = "affectnet"

    def listing(self) -> Iterator[tuple[str, Photo]]:
        """Rows of the tables, or numbered crops."""
        tables = [table for table in TABLES if (self.root / table).is_file()]
        for table in tables:
            yield from self._table(self.root / table, TABLES[table])
        if not tables:
            for folder, split in SPLITS.items():
                yield from self._crops(folder, split)

    def excluded(self) -> dict[str, str]:
        """Also pictures that are labelled as showing no face."""
        return super().excluded() | {
            name: "labelled as no face"
            for name, one in self._photos.items()
            if one.known.get("expression") == EXPRESSIONS[NO_FACE]
        }

    def _table(self, path: Path, split: str) -> Iterator[tuple[str, Photo]]:
        folder = next(f for f in IMAGES if (self.root / f).is_dir())
        seen = set()
        try:
            for row in read_table(path, ("subDirectory_filePath", "face_x", "face_width", "expression")):
                name = row["subDirectory_filePath"]
                if name in seen:
                    continue
                seen.add(name)
                known = _known(row["expression"], row.get("valence"), row.get("arousal"))
                yield name, Photo(f"{folder}/{name}", split, box=_box(row), known=known)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {path}: {error}") from error

    def _crops(self, folder: str, split: str) -> Iterator[tuple[str, Photo]]:
        root = self.root / folder
        files = [p for p in (root / "images").glob("*.jpg") if p.stem.isdecimal()]
        for file in sorted(files, key=lambda p: int(p.stem)):
            values = [self._annotation(root / "annotations" / f"{file.stem}_{k}.npy") for k in _KINDS]
            known = _known(*values)
            yield f"{folder}/{file.stem}", Photo(f"{folder}/images/{file.name}", split, known=known)

    def _annotation(self, path: Path) -> str | None:
        if not path.is_file():
            return None
        try:
            return str(np.load(path, allow_pickle=False).item())
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {path} ({error}): get the data set again") from error


_KINDS = ("exp", "val", "aro")


def _known(expression: str | None, valence: str | None, arousal: str | None) -> dict[str, Any]:
    """Labels for the record. Valence and arousal are -2 where the annotators gave none."""
    known: dict[str, Any] = {}
    number = _number(expression)
    if number is not None and 0 <= number < len(EXPRESSIONS):
        known["expression"] = EXPRESSIONS[int(number)]
    for name, text in (("valence", valence), ("arousal", arousal)):
        value = _number(text)
        if value is not None and -1 <= value <= 1:
            known[name] = value
    return known


def _box(row: dict[str, str]) -> Box | None:
    numbers = [_number(row.get(key)) for key in ("face_x", "face_y", "face_width", "face_height")]
    if None in numbers or numbers[2] <= 0 or numbers[3] <= 0:
        return None
    x, y, width, height = numbers
    return x, y, x + width, y + height


def _number(text: str | None) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None  # NULL in the tables
