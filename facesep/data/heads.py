"""Canonical crops with head masks, one at a time, from prepared shards or from the photos behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesep.data.shards import Sample, ShardSet
from facesep.errors import DataError, FaceError, ImageError
from facesep.faces.types import Aligned
from facesep.images import load_image, to_tensor

HEAD = (1, 2)
"""Labels of the head: face and hair."""
SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo to measure with.

    Attributes:
        name: of the photo in its source.
        person: who it shows.
        meta: what else is known: ``set``, ``expression``, ``licence``, ``credit``.
        aligned: the canonical crop with its background and five points, what the encoder reads.
        mask: ``Tensor[1, S, S]`` in 0..1, 1 on the head.
    """

    name: str
    person: str
    meta: dict[str, Any]
    aligned: Aligned
    mask: Tensor

    @property
    def image(self) -> Image.Image:
        """The canonical crop."""
        return self.aligned.image

    @property
    def points(self) -> np.ndarray:
        """``float64[5, 2]`` eyes, nose tip and mouth corners in pixels of ``image``."""
        return self.aligned.points

    @property
    def target(self) -> Tensor:
        """The head on white, ``Tensor[3, S, S]`` in 0..1: what a render should look like."""
        return to_tensor(self.image) * self.mask + (1 - self.mask)


class ShardPhotos:
    """Iterates over the photos of one split.

    The crops come from the shards, or, with ``folder``, from the original photos by way of detection and
    alignment, as for a user; the head masks of the shards then move along.

    Args:
        shards: folder of prepared shards.
        split: ``val``, ``test`` or ``train``.
        size: side of the crops in pixels.
        folder: folder with the originals, ``<name>.jpg``; None for the crops of the shards.
        align: photo to aligned face; needed with ``folder``.
        limit: only so many photos, taken evenly from the split.

    Raises:
        DataError: if the split is empty.
    """

    def __init__(
        self,
        shards: str | Path,
        split: str,
        size: int,
        folder: str | Path | None = None,
        align: Callable[[Image.Image], Aligned] | None = None,
        limit: int | None = None,
    ) -> None:
        self.shards = ShardSet(shards, split)
        if not len(self.shards):
            raise DataError(f"{shards} has no photos in the split {split!r}")
        self.size = size
        self.folder = None if folder is None else Path(folder)
        self.align = align
        count = len(self.shards) if limit is None else min(limit, len(self.shards))
        self.rows = np.linspace(0, len(self.shards) - 1, count).round().astype(int).tolist()
        self.refused: Counter[str] = Counter()
        """Photos that detection and alignment refused in the last pass, by the kind of error."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Photo]:
        self.refused.clear()
        return (photo for place in range(len(self)) if (photo := self.read(place)) is not None)

    def read(self, place: int) -> Photo | None:
        """The photo at a place, None if detection or alignment refuses it."""
        sample = self.shards.sample(self.rows[place])
        if self.folder is None:
            image = Image.fromarray(sample.image)
            if image.width != self.size:
                image = image.resize((self.size, self.size), Image.Resampling.LANCZOS)
            points = np.asarray(sample.meta["points5"], np.float64) * (self.size / self.shards.size)
            return self._photo(sample, Aligned.of_crop(image, points), Image.fromarray(sample.label))
        try:
            aligned = self.align(load_image(_file(self.folder, sample.meta["name"])))
        except (FaceError, ImageError) as error:
            self.refused[type(error).__name__] += 1
            return None
        return self._photo(sample, aligned, _moved_label(sample, aligned, self.size))

    def name(self, place: int) -> str:
        """Name of the photo at a place."""
        return self.shards.meta(self.rows[place])["name"]

    def origin(self) -> dict[str, Any]:
        """What tells this selection from others: sums of the shards, split, photos."""
        sums = [shard["sha256"] for shard in self.shards.shards]
        how = "shards" if self.folder is None else "originals"
        return {"shards": sums, "rows": self.rows, "size": self.size, "crops": how}

    def _photo(self, sample: Sample, aligned: Aligned, label: Image.Image) -> Photo:
        size = (self.size, self.size)
        head = Image.fromarray(np.isin(np.asarray(label), HEAD).astype(np.uint8) * 255)
        mask = np.asarray(head if head.size == size else head.resize(size, Image.BOX), np.float32) / 255
        name = sample.meta["name"]
        person = sample.meta.get("person") or name
        return Photo(name, person, sample.meta, aligned, torch.from_numpy(mask)[None])


def mean_face(shards: str | Path, size: int) -> Tensor:
    """The pixel mean of all training photos, heads on white: ``Tensor[3, S, S]``.

    Raises:
        DataError: if the shards hold no training photos.
    """
    total, count = torch.zeros(3, size, size), 0
    for photo in ShardPhotos(shards, "train", size):
        total += photo.target
        count += 1
    return total / count


def _file(folder: Path, name: str) -> Path:
    for suffix in SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    raise DataError(f"{folder} has no photo {name}{SUFFIXES[0]}: give the folder the shards were made from")


def _moved_label(sample: Sample, aligned: Aligned, size: int) -> Image.Image:
    """The label map of the shard's window as seen through another window of the same photo."""
    left, top, side = sample.meta["crop"]
    label = Image.fromarray(sample.label)
    scale = label.width / side  # pixels of the label map per pixel of the photo
    step = aligned.crop.side / size * scale
    x, y = (aligned.crop.left - left) * scale, (aligned.crop.top - top) * scale
    coefficients = (step, 0.0, x, 0.0, step, y)
    return label.transform((size, size), Image.AFFINE, coefficients, Image.NEAREST, fillcolor=0)
