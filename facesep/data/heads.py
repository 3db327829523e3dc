"""Canonical crops with head masks, one at a time, from prepared shards or from the photos behind them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
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

FACE, HEAD = 1, (1, 2)
"""Labels of the face (skin with ears, eyes and glasses), and of the head: face and hair."""
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


class PhotoSet(ABC):
    """Photos by their place.

    Attributes:
        size: side of the crops in pixels.
        align: photo to aligned face.
        refused: photos that detection and alignment refused in the last pass, by the kind of error.
    """

    def __init__(self, size: int, align: Callable[[Image.Image], Aligned] | None) -> None:
        self.size, self.align = size, align
        self.refused: Counter[str] = Counter()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, place: int) -> Photo | None:
        """The photo at a place, None if detection or alignment refuses it."""

    @abstractmethod
    def name(self, place: int) -> str:
        """Name of the photo at a place."""

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """What tells this selection from others, as JSON data."""

    def __iter__(self) -> Iterator[Photo]:
        self.refused.clear()
        return (photo for place in range(len(self)) if (photo := self.read(place)) is not None)

    def aligned(self, path: Path) -> tuple[Image.Image, Aligned] | None:
        """A photo and its face; None, and counted, if the photo or its face is refused."""
        try:
            photo = load_image(path)
            return photo, self.align(photo)
        except (FaceError, ImageError) as error:
            self.refused[type(error).__name__] += 1
            return None


def spread(count: int, limit: int | None) -> list[int]:
    """At most ``limit`` of ``count`` places, taken evenly."""
    some = count if limit is None else min(limit, count)
    return np.linspace(0, count - 1, some).round().astype(int).tolist()


class ShardPhotos(PhotoSet):
    """The photos of one split.

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
        super().__init__(size, align)
        self.folder = None if folder is None else Path(folder)
        self.rows = spread(len(self.shards), limit)

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, place: int) -> Photo | None:
        """The photo at a place, None if detection or alignment refuses it."""
        sample = self.shards.sample(self.rows[place])
        if self.folder is None:
            image = Image.fromarray(sample.image)
            if image.width != self.size:
                image = image.resize((self.size, self.size), Image.Resampling.LANCZOS)
            points = np.asarray(sample.meta["points5"], np.float64) * (self.size / self.shards.size)
            return self._photo(sample, Aligned.of_crop(image, points), Image.fromarray(sample.label))
        found = self.aligned(self.path(place))
        if found is None:
            return None
        return self._photo(sample, found[1], _moved_label(sample, found[1], self.size))

    def face(self, place: int) -> Tensor:
        """``Tensor[1, S, S]`` in 0..1 on the crop of the shard: 1 on skin, ears, eyes and glasses."""
        return _covered(Image.fromarray(self.shards.sample(self.rows[place]).label), (FACE,), self.size)

    def name(self, place: int) -> str:
        """Name of the photo at a place."""
        return self.shards.meta(self.rows[place])["name"]

    def path(self, place: int) -> Path:
        """The original of the photo at a place.

        Raises:
            DataError: if it is not in the folder.
        """
        if self.folder is None:
            raise DataError("the originals are not known: give the folder the shards were made from")
        return original(self.folder, self.name(place))

    def origin(self) -> dict[str, Any]:
        """What tells this selection from others: sums of the shards, split, photos."""
        sums = [shard["sha256"] for shard in self.shards.shards]
        how = "shards" if self.folder is None else "originals"
        return {"shards": sums, "rows": self.rows, "size": self.size, "crops": how}

    def _photo(self, sample: Sample, aligned: Aligned, label: Image.Image) -> Photo:
        name = sample.meta["name"]
        person = sample.meta.get("person") or name
        return Photo(name, person, sample.meta, aligned, _covered(label, HEAD, self.size))


def mean_of(photos: Iterable[Photo]) -> Tensor:
    """The pixel mean of photos, heads on white: ``Tensor[3, S, S]``.

    Raises:
        DataError: if there is none.
    """
    total, count = None, 0
    for photo in photos:
        total = torch.zeros(photo.target.shape) if total is None else total
        total += photo.target
        count += 1
    if total is None:
        raise DataError("none of the photos can be used: detection refused them all")
    return total / count


def mean_face(shards: str | Path, size: int) -> Tensor:
    """The pixel mean of all training photos, see ``mean_of``.

    Raises:
        DataError: if the shards hold no training photos.
    """
    return mean_of(ShardPhotos(shards, "train", size))


def _covered(label: Image.Image, labels: tuple[int, ...], size: int) -> Tensor:
    """How much of each pixel some labels cover: ``Tensor[1, size, size]``."""
    mask = Image.fromarray(np.isin(np.asarray(label), labels).astype(np.uint8) * 255)
    mask = mask if mask.width == size else mask.resize((size, size), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(mask, np.float32) / 255)[None]


def original(folder: Path, name: str) -> Path:
    """The file of a photo in the folder that shards were made from.

    Raises:
        DataError: if it is not there.
    """
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
