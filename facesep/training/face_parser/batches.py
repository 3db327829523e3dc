"""Training batches of the face parser: random crops under other light, backgrounds, covers and cameras."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from facesep.data.part_labels import MARGIN, OUTSIDE, SIZE, UNKNOWN
from facesep.nets.face_parser import CLASSES
from facesep.training.face_parser.samples import open_samples

TURNED_SHARE = 0.15
"""Share of turned heads in a batch."""


class Batches:
    """Random batches from the files of ``facesep.training.face_parser.samples.prepare``.

    Args:
        work: the folder of the files.
        seed: of all randomness.
    """

    _flat = 0.25  # share of plain colours among other backgrounds

    def __init__(self, work: Path, seed: int) -> None:
        self.straight, self.turned, self.backgrounds = open_samples(work)
        self.rng = np.random.default_rng(seed)

    def __call__(self, count: int, size: int) -> tuple[Tensor, Tensor]:
        """A batch.

        Args:
            count: images.
            size: their side in pixels.

        Returns:
            ``Tensor[B, 3, S, S]`` RGB in [0, 1], and ``Tensor[B, C, S / 2, S / 2]``, the share of each
            class in each cell (all zero where nothing is known).
        """
        rng = self.rng
        pixels = np.stack([self._sample() for _ in range(count)])
        pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        grid = random_grid(rng, count, size)
        photo = pixels[:, :3].float() / 255
        if size <= SIZE // 3:
            photo = F.avg_pool2d(photo, 2)
        image = F.grid_sample(photo - 1, grid, align_corners=False) + 1
        # Labels moved up by one: what comes from beyond the sample reads 0.
        labels = F.grid_sample(pixels[:, 3:].float() + 1, grid, mode="nearest", align_corners=False)[:, 0] - 1
        labels = torch.where(labels < 0, OUTSIDE, labels).long()

        empty = labels == OUTSIDE
        image, labels, empty = self._paste(image, labels, empty)
        image = relight(rng, image)
        image, labels = self._cover(image, labels)
        image = degrade(rng, image)
        empty |= random_strips(rng, count, size)
        image = torch.where(empty[:, None], 1.0, image)
        labels = torch.where(empty, 0, labels)
        return image.clamp(0, 1), shares(labels)

    def _sample(self) -> np.ndarray:
        of = self.straight
        if self.turned is not None and self.rng.random() < TURNED_SHARE:
            of = self.turned
        return of[int(self.rng.integers(len(of)))]

    def _background(self, size: int) -> Tensor:
        """A random window of a random background, ``Tensor[3, S, S]``."""
        picture = self.backgrounds[int(self.rng.integers(len(self.backgrounds)))]
        side = int(self.rng.integers(96, len(picture) + 1))
        y, x = self.rng.integers(0, len(picture) - side + 1, 2)
        part = (
            torch.from_numpy(picture[y : y + side, x : x + side].copy()).permute(2, 0, 1)[None].float() / 255
        )
        if self.rng.random() < 0.5:
            part = part.flip(-1)
        return F.interpolate(part, (size, size), mode="bilinear", align_corners=False)[0]

    def _paste(self, image: Tensor, labels: Tensor, empty: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Other backgrounds behind some of the people; always in the holes of turned views."""
        image, empty = image.clone(), empty.clone()
        for i in range(len(image)):
            holes = labels[i] == UNKNOWN
            whole = self.rng.random() < 0.4
            if not whole and not holes.any():
                continue
            behind = self._background(image.shape[-1])
            if whole and self.rng.random() < self._flat:
                behind = behind * 0 + torch.from_numpy(self.rng.random((3, 1, 1), np.float32))
            person = ((labels[i] > 0) & (labels[i] < OUTSIDE)) if whole else ~holes
            alpha = person[None, None].float()
            alpha = F.avg_pool2d(F.pad(alpha, (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
            image[i] = image[i] * alpha + behind * (1 - alpha)
            if whole and self.rng.random() < 0.5:
                labels[i][empty[i]] = 0
                empty[i] = False
        return image, labels, empty

    def _cover(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Ellipses and bars of other pictures over some of the images: background, whatever was there."""
        size = image.shape[-1]
        axis = (torch.arange(size) + 0.5) / size
        for i in range(len(image)):
            if self.rng.random() > 0.25:
                continue
            for _ in range(int(self.rng.integers(1, 3))):
                x, y = self.rng.uniform(0, 1, 2)
                a, b = np.exp(self.rng.uniform(math.log(0.03), math.log(0.2), 2))
                angle = self.rng.uniform(0, math.pi)
                dx, dy = axis[None] - x, axis[:, None] - y
                u = (dx * math.cos(angle) + dy * math.sin(angle)) / a
                v = (dy * math.cos(angle) - dx * math.sin(angle)) / b
                inside = u**2 + v**2 < 1 if self.rng.random() < 0.6 else torch.maximum(u.abs(), v.abs()) < 1
                image[i] = torch.where(inside, self._background(size), image[i])
                labels[i][inside] = 0
        return image, labels


def random_grid(rng: np.random.Generator, count: int, size: int) -> Tensor:
    """Sampling grids of random similarities, half of them mirrored: ``Tensor[B, S, S, 2]`` into a sample.

    The window's side varies by a fifth, it turns by up to 30 degrees and moves by up to 8 % of its side.
    """
    scale = np.exp(rng.uniform(-0.2, 0.2, count)) / MARGIN
    angle = np.radians(
        np.where(rng.random(count) < 0.5, rng.normal(0, 5, count), rng.uniform(-30, 30, count))
    )
    shift = rng.uniform(-0.16, 0.16, (count, 2)) / MARGIN
    flip = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    rows = np.stack(
        (np.stack((flip * cos, -flip * sin, shift[:, 0]), 1), np.stack((sin, cos, shift[:, 1]), 1)), 1
    )
    return F.affine_grid(torch.from_numpy(rows).float(), [count, 1, size, size], align_corners=False)


def relight(rng: np.random.Generator, image: Tensor) -> Tensor:
    """Other exposure, colour, contrast and direction of light; some images grey. ``Tensor[B, 3, S, S]``."""
    count, size = len(image), image.shape[-1]

    def column(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))[..., None, None]

    gain = np.exp(rng.normal(0, 0.18, (count, 1)) + rng.normal(0, 0.12, (count, 3)))
    image = image.clamp(1e-3, 1) ** column(np.exp(rng.normal(0, 0.25, (count, 1)))) * column(gain)
    pivot = image.mean((-2, -1), keepdim=True)
    image = pivot + (image - pivot) * column(np.exp(rng.normal(0, 0.15, (count, 1))))
    axis = torch.linspace(-1, 1, size)
    angle = rng.uniform(0, 2 * math.pi, (count, 1))
    steep = np.where(rng.random((count, 1)) < 0.35, rng.uniform(0, 0.7, (count, 1)), 0)
    ramp = column(np.cos(angle) * steep) * axis + column(np.sin(angle) * steep) * axis[:, None]
    image = image * (1 + ramp)
    grey = image.mean(1, keepdim=True)
    colour = np.where(rng.random((count, 1)) < 0.12, 0.0, np.exp(rng.normal(0, 0.25, (count, 1))))
    return (grey + (image - grey) * column(colour)).clamp(0, 1)


def degrade(rng: np.random.Generator, image: Tensor) -> Tensor:
    """Low resolution, blur, noise and JPEG, each on some of the images ``Tensor[B, 3, S, S]`` in [0, 1]."""
    size, out = image.shape[-1], []
    for one in image:
        one = one[None]
        if rng.random() < 0.25:
            small = int(size / rng.uniform(1.3, 4))
            one = F.interpolate(one, (small, small), mode="bilinear", antialias=True, align_corners=False)
            one = F.interpolate(one, (size, size), mode="bilinear", align_corners=False)
        if rng.random() < 0.15:
            one = blur(one, rng.uniform(0.5, 2.5))
        if rng.random() < 0.3:
            noise = torch.from_numpy(rng.standard_normal(one.shape, np.float32))
            one = one + noise * float(rng.uniform(0, 0.08))
        if rng.random() < 0.25:
            one = jpeg(one.clamp(0, 1), int(rng.integers(15, 75)))
        out.append(one)
    return torch.cat(out)


def blur(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of ``Tensor[B, 3, H, W]``; sigma in pixels."""
    radius = max(1, round(2.5 * sigma))
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32)
    weights = torch.softmax(-(steps**2) / (2 * sigma**2), 0).repeat(3, 1, 1)
    padded = F.pad(image, (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, weights[:, :, None], groups=3)
    return F.conv2d(across, weights[:, :, :, None], groups=3)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """``Tensor[1, 3, H, W]`` in [0, 1] written as JPEG and read again."""
    array = (image[0] * 255).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1)[None].float() / 255


def random_strips(rng: np.random.Generator, count: int, size: int) -> Tensor:
    """Where the photo ends in a third of the images: ``bool[B, S, S]``, strips along up to two sides."""
    empty = torch.zeros(count, size, size, dtype=torch.bool)
    for i in range(count):
        if rng.random() > 0.33:
            continue
        for side in rng.choice(4, int(rng.integers(1, 3)), replace=False):
            width = int(size * rng.uniform(0.02, 0.22))
            flat = empty[i] if side < 2 else empty[i].T
            if side % 2:
                flat[:width] = True
            else:
                flat[-width:] = True
    return empty


def shares(labels: Tensor) -> Tensor:
    """Labels ``int[B, S, S]`` to the share of each class in 2 x 2 cells: ``Tensor[B, C, S / 2, S / 2]``."""
    one_hot = torch.stack([labels == index for index in range(len(CLASSES))], 1).float()
    return F.avg_pool2d(one_hot, 2)
