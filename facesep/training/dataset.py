"""Training batches: photos and their mirror images, with labels, from shards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from facesep.analysis.label_file import LabelFile, split_rows
from facesep.codes import Codes
from facesep.data.labels import FACE, HAIR
from facesep.data.shards import ShardSet
from facesep.errors import DataError
from facesep.training.augment import (
    random_background,
    random_exposure,
    random_resolution,
    random_similarity,
    warp,
    warp_points,
)

PHOTO_SIZE = 128
"""Least side at which the encoder sees a photo, however coarse the render is."""


@dataclass(frozen=True)
class Augmentation:
    """How much the images of a batch are varied; all zero gives the images as they are."""

    scale: float = 0.05
    turn: float = 0.08
    shift: float = 0.025
    exposure: float = 0.08
    blurred: float = 0.2


@dataclass(frozen=True)
class Batch:
    """What one training step sees.

    Attributes:
        rows: ``int64 [B]`` rows of the code book: twice the photo's index, plus 1 for its mirror image; or
            the photo's index, in a set without mirror images.
        photo: encoder input ``[B, 3, S, S]`` with some background.
        target: the head on white ``[B, 3, S, S]``.
        mask: head mask ``[B, 1, S, S]`` in 0..1.
        hair: the part of it that is hair, likewise.
        depth: planar depth of the fitted mesh ``[B, 1, m, m]``, decimetres; NaN where unknown.
        points: five points ``[B, 5, 2]`` as fractions of the image.
        similarity: ``[B, 4]``, how each image was warped (see ``facesep.training.augment``).
        partnered: ``bool [B]``, which items have another photo of their person beside them; None for none.
        partner: those photos ``[B, 3, S, S]`` as encoder input; zero for the other items.
        partner_points: their five points.
    """

    rows: Tensor
    photo: Tensor
    target: Tensor
    mask: Tensor
    hair: Tensor
    depth: Tensor
    points: Tensor
    similarity: Tensor
    partnered: Tensor | None = None
    partner: Tensor | None = None
    partner_points: Tensor | None = None

    def split(self, size: int) -> list[Batch]:
        """Pieces of at most ``size`` items."""
        columns = [repeat(None) if value is None else value.split(size) for value in vars(self).values()]
        return [Batch(*parts) for parts in zip(*columns, strict=False)]


class TrainingSet:
    """Photos of one split with their labels, from shards.

    Args:
        shards: folder of prepared shards.
        labels: the file that ``train/analyse.py`` wrote for them; None for photos without labels.
        split: split of the shards.
        size: side in pixels at which the photos are given.
        in_memory: keeps all pixels and labels in memory as bytes; else each batch reads and decodes its own,
            and memory does not grow with the photos but for about 200 bytes each. Both give the same batches.
        mirror: rows are photos and their mirror images in turn, else photos alone.
        most: takes at most so many photos, evenly spread over the split.
        device: where batches are made, and where the pixels and depths of a set in memory lie. The random
            numbers are the same everywhere.

    Raises:
        DataError: if labels are missing for a photo.
    """

    def __init__(
        self,
        shards: str | Path,
        labels: str | Path | None,
        split: str = "train",
        size: int = 256,
        in_memory: bool = True,
        mirror: bool = True,
        most: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.source = ShardSet(shards, split, most)
        self.device = torch.device(device)
        self.size, self.in_memory, self.mirror = size, in_memory, mirror
        self.ids = self.source.ids
        self.people = self.source.people
        """Number of each photo's person, ``int64 [N]``."""
        self.sharp = torch.from_numpy(self.source.sharp.copy())
        self.points = torch.from_numpy(self.source.points5 / np.float32(self.source.size))
        self._labels = LabelFile(labels, self.ids, mirror) if labels is not None else None
        self._codes: Codes | None = None
        self._depth: Tensor | None = None
        if in_memory:
            count = len(self.source)
            images = np.empty((count, size, size, 3), np.uint8)
            masks = np.empty((count, size, size, 2), np.uint8)
            for k in range(count):
                images[k], masks[k] = self._decode(k)
            self.images, self.masks = (torch.from_numpy(x).to(self.device) for x in (images, masks))
            if self._labels is not None:
                self._codes = self._labels.codes(torch.arange(len(self)))
                self._depth = self._labels.depth(np.arange(count)).to(self.device)
        # Photos of a person stand side by side in this order; a person's first place and photos follow.
        self._order = np.argsort(self.people, kind="stable")
        self._place = np.empty(len(self._order), np.int64)
        self._place[self._order] = np.arange(len(self._order))
        ordered = self.people[self._order]
        self._first = np.searchsorted(ordered, self.people)
        self._photos = np.searchsorted(ordered, self.people, "right") - self._first

    def __len__(self) -> int:
        return len(self.ids) * (2 if self.mirror else 1)

    @property
    def per_photo(self) -> int:
        """Rows of the code book for each photo."""
        return 2 if self.mirror else 1

    @property
    def codes(self) -> Codes:
        """Labels as codes ``[len(self), ...]``; all of them: large sets ask ``labels`` for some."""
        return self._codes if self._codes is not None else self.labels(torch.arange(len(self)))

    def labels(self, rows: Tensor) -> Codes:
        """Labels of some rows as codes ``[B, ...]``.

        Raises:
            DataError: if the set was made without labels.
        """
        if self._labels is None:
            raise DataError("these photos have no labels: give the file that train/analyse.py wrote")
        return self._codes[rows] if self._codes is not None else self._labels.codes(rows)

    def rows(self, sharp: bool = False) -> Tensor:
        """All rows, or those of sharp photos, ``int64``."""
        rows = torch.arange(len(self))
        return rows[self.sharp[rows // 2 if self.mirror else rows]] if sharp else rows

    def partner(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A random other row that shows the same person, ``int64 [B]``; the same row if there is none."""
        picks = torch.rand(len(rows), generator=generator).double().numpy()
        photo, flipped = split_rows(rows, self.mirror)
        times = 2 if self.mirror else 1
        own = times * (self._place[photo] - self._first[photo]) + flipped
        others = times * self._photos[photo] - 1
        chosen = (picks * others).astype(np.int64)
        chosen += (chosen >= own) & (others > 0)
        found = self._order[self._first[photo] + chosen // times] * times + chosen % times
        return torch.from_numpy(found)

    def _decode(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Photo ``uint8 [s, s, 3]``, masks of head and hair ``uint8 [s, s, 2]`` at the size of the set."""
        sample = self.source.sample(k, record=False)
        scale = (self.size, self.size)
        image = np.asarray(Image.fromarray(sample.image).resize(scale, Image.BOX))
        hair = sample.label == HAIR
        masks = [part.astype(np.uint8) * 255 for part in (hair | (sample.label == FACE), hair)]
        return image, np.stack([Image.fromarray(part).resize(scale, Image.BOX) for part in masks], -1)

    def _pixels(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        if self.in_memory:
            at = torch.from_numpy(index).to(self.device)
            return self.images[at], self.masks[at]
        pairs = [self._decode(int(k)) for k in index]
        images, masks = (torch.from_numpy(np.stack(column)) for column in zip(*pairs, strict=True))
        return images.to(self.device), masks.to(self.device)

    def _depths(self, index: np.ndarray) -> Tensor:
        if self._labels is None:
            return torch.full((len(index), 1, 1), torch.nan, device=self.device)
        if self._depth is not None:
            return self._depth[torch.from_numpy(index).to(self.device)]
        return self._labels.depth(index).to(self.device)

    def batch(
        self,
        rows: Tensor,
        size: int,
        augmentation: Augmentation | None = None,
        generator: torch.Generator | None = None,
    ) -> Batch:
        """Assembles a batch.

        Args:
            rows: ``int64 [B]`` rows of the code book.
            size: side of target and mask; the photo has at least ``PHOTO_SIZE`` pixels.
            augmentation: None for the images as they are.
            generator: source of randomness.
        """
        index, flipped = split_rows(rows, self.mirror)
        mirrored = torch.from_numpy(flipped).to(self.device)
        images, masks = self._pixels(index)
        images = images.permute(0, 3, 1, 2).float() / 255
        masks = masks.permute(0, 3, 1, 2).float() / 255
        depth, points = self._depths(index)[:, None].float(), self.points[index].to(self.device)
        photo_size = min(max(size, PHOTO_SIZE), images.shape[-1])
        flip = mirrored[:, None, None, None]
        images, masks, depth = (torch.where(flip, x.flip(-1), x) for x in (images, masks, depth))
        swapped = torch.cat((1 - points[..., :1], points[..., 1:]), -1)[:, [1, 0, 2, 4, 3]]
        points = torch.where(mirrored[:, None, None], swapped, points)
        if augmentation is None:
            similarity = torch.tensor([1.0, 0.0, 0.0, 0.0], device=self.device).expand(len(rows), 4)
            images, masks = _resize(images, photo_size), _resize(masks, photo_size)
        else:
            similarity = random_similarity(
                len(rows), augmentation.scale, augmentation.turn, augmentation.shift, generator
            ).to(self.device)
            points = warp_points(points, similarity)
            depth = _warp_depth(depth, similarity)
            finer = min(round(photo_size * 1.25), images.shape[-1])  # the warp does not anti-alias
            images = warp(_resize(images, finer), similarity, photo_size)
            masks = warp(_resize(masks, finer), similarity, photo_size, 0.0)
            gain = random_exposure(len(rows), augmentation.exposure, generator).to(self.device)
            images = (images * gain).clamp(0, 1)
        masks, hair = masks.split(1, 1)
        target = images * masks + (1 - masks)
        photo = images
        if augmentation is not None:
            photo = random_background(images, target, masks, generator)
            photo = random_resolution(photo, augmentation.blurred, generator)
        target, masks, hair = (_resize(x, size) for x in (target, masks, hair))
        return Batch(rows, photo, target, masks, hair, depth, points, similarity)


def _resize(images: Tensor, size: int) -> Tensor:
    return images if images.shape[-1] == size else F.interpolate(images, size=(size, size), mode="area")


def _warp_depth(depth: Tensor, similarity: Tensor) -> Tensor:
    """Warps a depth map with holes; an enlarged head stands nearer."""
    known = warp((~depth.isnan()).float(), similarity, depth.shape[-1], 0.0)
    moved = warp(depth.nan_to_num(), similarity, depth.shape[-1], 0.0) / known.clamp_min(1e-3)
    return torch.where(known > 0.9, moved / similarity[:, :1, None, None], torch.nan)
