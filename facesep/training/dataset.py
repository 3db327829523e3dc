"""Training batches in memory: photos and their mirror images, with labels, from shards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from facesep.codes import Codes
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
        rows: ``int64 [B]`` rows of the code book: twice the photo's index, plus 1 for its mirror image.
        photo: encoder input ``[B, 3, S, S]`` with some background.
        target: the head on white ``[B, 3, S, S]``.
        mask: head mask ``[B, 1, S, S]`` in 0..1.
        depth: planar depth of the fitted mesh ``[B, 1, m, m]``, decimetres; NaN where unknown.
        points: five points ``[B, 5, 2]`` as fractions of the image.
        similarity: ``[B, 4]``, how each image was warped (see :mod:`facesep.training.augment`).
    """

    rows: Tensor
    photo: Tensor
    target: Tensor
    mask: Tensor
    depth: Tensor
    points: Tensor
    similarity: Tensor

    def split(self, size: int) -> list[Batch]:
        """Pieces of at most ``size`` items."""
        columns = [tensor.split(size) for tensor in vars(self).values()]
        return [Batch(*parts) for parts in zip(*columns, strict=True)]


class TrainingSet:
    """Photos of one split with their labels, kept in memory as bytes.

    Args:
        shards: folder of prepared shards.
        labels: the file that ``train/analyse.py`` wrote for them.
        split: split of the shards.
        size: side in pixels at which the photos are kept.

    Raises:
        DataError: if labels are missing for a photo.
    """

    per_photo = 2
    """Rows of the code book for each photo: itself and its mirror image."""

    def __init__(self, shards: str | Path, labels: str | Path, split: str = "train", size: int = 256) -> None:
        source = ShardSet(shards, split)
        known = load_file(str(labels))
        row_of = {int(i): row for row, i in enumerate(known["ids"].tolist())}
        missing = [i for i in source.ids.tolist() if i not in row_of]
        if missing:
            raise DataError(f"{labels} has no labels for {len(missing)} photos: run train/analyse.py again")
        rows = [row_of[i] for i in source.ids.tolist()]
        self.ids = source.ids
        self.codes = Codes.from_vector(known["codes"][rows].flatten(0, 1))
        """Labels as codes ``[2 N, ...]``: photo and mirror image in turn."""
        self.depth = known["depth"][rows]
        self.names: list[str] = []
        self.people: list[str] = []
        self.images = np.empty((len(source), size, size, 3), np.uint8)
        self.masks = np.empty((len(source), size, size), np.uint8)
        self.points = torch.empty(len(source), 5, 2)
        self.sharp = torch.zeros(len(source), dtype=torch.bool)
        for k, sample in enumerate(source):
            head = ((sample.label == 1) | (sample.label == 2)).astype(np.uint8) * 255
            scale = (size, size)
            self.images[k] = np.asarray(Image.fromarray(sample.image).resize(scale, Image.BOX))
            self.masks[k] = np.asarray(Image.fromarray(head).resize(scale, Image.BOX))
            self.points[k] = torch.tensor(sample.meta["points5"]) / source.size
            self.sharp[k] = bool(sample.meta.get("good_at_256", True))
            self.names.append(sample.meta["name"])
            self.people.append(sample.meta.get("person") or sample.meta["name"])
        self.partners = self._partners()

    def __len__(self) -> int:
        return 2 * len(self.images)

    def _partners(self) -> list[list[int]]:
        """Rows of each photo's person: other photos if there are any, and the mirror images."""
        groups: dict[str, list[int]] = {}
        for k, person in enumerate(self.people):
            groups.setdefault(person, []).append(k)
        return [[2 * other + flip for other in groups[p] for flip in (0, 1)] for p in self.people]

    def partner(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A random other row that shows the same person, ``int64 [B]``."""
        picks = torch.rand(len(rows), generator=generator).tolist()
        others = [[r for r in self.partners[row // 2] if r != row] for row in rows.tolist()]
        return torch.tensor([o[int(p * len(o))] for o, p in zip(others, picks, strict=True)])

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
            size: side of target and mask; the photo has at least :data:`PHOTO_SIZE` pixels.
            augmentation: None for the images as they are.
            generator: source of randomness.
        """
        index, mirrored = (rows // 2).numpy(), (rows % 2).bool()
        images = torch.from_numpy(self.images[index]).permute(0, 3, 1, 2).float() / 255
        masks = torch.from_numpy(self.masks[index])[:, None].float() / 255
        depth, points = self.depth[index][:, None].float(), self.points[index].clone()
        photo_size = min(max(size, PHOTO_SIZE), images.shape[-1])
        flip = mirrored[:, None, None, None]
        images, masks, depth = (torch.where(flip, x.flip(-1), x) for x in (images, masks, depth))
        swapped = torch.cat((1 - points[..., :1], points[..., 1:]), -1)[:, [1, 0, 2, 4, 3]]
        points = torch.where(mirrored[:, None, None], swapped, points)
        if augmentation is None:
            similarity = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(rows), 4)
            images, masks = _resize(images, photo_size), _resize(masks, photo_size)
        else:
            similarity = random_similarity(
                len(rows), augmentation.scale, augmentation.turn, augmentation.shift, generator
            )
            points = warp_points(points, similarity)
            depth = _warp_depth(depth, similarity)
            finer = min(round(photo_size * 1.25), images.shape[-1])  # the warp does not anti-alias
            images = warp(_resize(images, finer), similarity, photo_size)
            masks = warp(_resize(masks, finer), similarity, photo_size, 0.0)
            gain = random_exposure(len(rows), augmentation.exposure, generator)
            images = (images * gain).clamp(0, 1)
        target = images * masks + (1 - masks)
        photo = images
        if augmentation is not None:
            photo = random_background(images, target, masks, generator)
            photo = random_resolution(photo, augmentation.blurred, generator)
        return Batch(rows, photo, _resize(target, size), _resize(masks, size), depth, points, similarity)


def _resize(images: Tensor, size: int) -> Tensor:
    return images if images.shape[-1] == size else F.interpolate(images, size=(size, size), mode="area")


def _warp_depth(depth: Tensor, similarity: Tensor) -> Tensor:
    """Warps a depth map with holes; an enlarged head stands nearer."""
    known = warp((~depth.isnan()).float(), similarity, depth.shape[-1], 0.0)
    moved = warp(depth.nan_to_num(), similarity, depth.shape[-1], 0.0) / known.clamp_min(1e-3)
    return torch.where(known > 0.9, moved / similarity[:, :1, None, None], torch.nan)
