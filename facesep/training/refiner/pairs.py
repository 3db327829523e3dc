"""Pairs to learn from: a soft picture (a render, or a degraded photo) and the photo's head on white."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.data.heads import ShardPhotos
from facesep.data.shards import ShardSet
from facesep.model import FaceSep


@dataclass(frozen=True)
class Degradation:
    """How sharp pictures are made soft; each is drawn anew for every picture.

    Attributes:
        shrink: largest factor by which a picture is made smaller and large again.
        blur: largest standard deviation of a Gaussian blur, in thousandths of the picture's side.
        noise: largest standard deviation of noise, in 0..1.
        tint: standard deviation of a gain of each colour.
    """

    shrink: float = 6.0
    blur: float = 20.0
    noise: float = 0.03
    tint: float = 0.03


class Pairs:
    """All pictures of a split in memory, as bytes.

    Args:
        shards: folder written by ``train/prepare_data.py``.
        split: ``train`` or ``val``.
        size: side of the pictures.
        sep: renders each photo; without it every soft picture is a degraded photo.
        on_photo: called with the number of photos done and their total.
        limit: only so many photos, taken evenly from the split.

    Raises:
        DataError: if the split is empty or damaged.
    """

    def __init__(
        self,
        shards: str | Path,
        split: str,
        size: int,
        sep: FaceSep | None = None,
        on_photo: Callable[[int, int], object] | None = None,
        limit: int | None = None,
    ) -> None:
        photos = ShardPhotos(shards, split, max(size, sep.image_size if sep else size), limit=limit)
        self.size = size
        self.names: list[str] = []
        sharp, renders = [], []
        for photo in photos:
            self.names.append(photo.name)
            sharp.append(_bytes(photo.target, size))
            if sep is not None:
                render = sep.render(sep.encode(photo.aligned), output="tensor")
                renders.append(_bytes(render.cpu(), size))
            if on_photo:
                on_photo(len(sharp), len(photos))
        self.sharp = torch.stack(sharp)
        self.renders = torch.stack(renders) if renders else None

    def __len__(self) -> int:
        return len(self.sharp)

    def batch(
        self, count: int, degradation: Degradation, render_share: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Random pairs, half of them mirrored.

        Returns:
            Soft and sharp pictures, ``Tensor[count, 3, S, S]`` in [0, 1].
        """
        rows = torch.randint(len(self), (count,), generator=generator)
        sharp = self.sharp[rows].float() / 255
        soft = degraded(sharp, degradation, generator)
        if self.renders is not None:
            chosen = torch.rand(count, 1, 1, 1, generator=generator) < render_share
            soft = torch.where(chosen, self.renders[rows].float() / 255, soft)
        mirrored = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
        return tuple(torch.where(mirrored, x.flip(-1), x) for x in (soft, sharp))

    def photos(self, count: int, generator: torch.Generator) -> Tensor:
        """Random photos, half of them mirrored: all that the diffusion network learns from.

        They are put together on the generator's device, where the bytes of all photos then stay.

        Returns:
            ``Tensor[count, 3, S, S]`` in [0, 1].
        """
        device = generator.device
        self.sharp = self.sharp.to(device)
        rows = torch.randint(len(self), (count,), generator=generator, device=device)
        mirrored = torch.rand(count, 1, 1, 1, generator=generator, device=device) < 0.5
        sharp = self.sharp[rows]
        return torch.where(mirrored, sharp.flip(-1), sharp).float() / 255

    def fixed(self, count: int, degradation: Degradation, seed: int = 0) -> tuple[Tensor, Tensor]:
        """The first pairs, always the same, to measure with: renders where there are any."""
        sharp = self.sharp[:count].float() / 255
        if self.renders is not None:
            return self.renders[:count].float() / 255, sharp
        return degraded(sharp, degradation, torch.Generator().manual_seed(seed)), sharp


def _bytes(image: Tensor, size: int) -> Tensor:
    if image.shape[-1] != size:
        image = F.interpolate(image[None], (size, size), mode="bicubic", antialias=True)[0]
    return (image.clamp(0, 1) * 255).round().byte()


def degraded(images: Tensor, how: Degradation, generator: torch.Generator) -> Tensor:
    """Makes pictures soft: smaller and large again, blurred, tinted, noisy.

    Args:
        images: ``Tensor[B, 3, S, S]`` in [0, 1].
        how: the ranges.
        generator: source of randomness.

    Returns:
        The same shape, in [0, 1].
    """
    return torch.stack([_degraded(image, how, generator) for image in images])


def _degraded(image: Tensor, how: Degradation, generator: torch.Generator) -> Tensor:
    size = image.shape[-1]
    shrink, blur, noise = torch.rand(3, generator=generator).tolist()
    small = max(round(size / (1 + (how.shrink - 1) * shrink)), 2)
    if small < size:
        image = F.interpolate(image[None], (small, small), mode="bilinear", antialias=True)
        image = F.interpolate(image, (size, size), mode="bicubic")[0]
    sigma = how.blur * blur * size / 1000
    if sigma > 0.2:
        image = gaussian_blur(image, sigma)
    image = image * (1 + how.tint * torch.randn(3, 1, 1, generator=generator))
    image = image + how.noise * noise * torch.randn(image.shape, generator=generator)
    return image.clamp(0, 1)


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Blurs ``Tensor[3, S, S]``; the edge is repeated."""
    radius = min(max(round(3 * sigma), 1), image.shape[-1] - 1)
    x = torch.arange(-radius, radius + 1, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    image = F.pad(image[None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(image, kernel, groups=3), kernel.transpose(2, 3), groups=3)[0]


def describe(shards: str | Path) -> list[dict]:
    """What the card says of the training data: photos by set and licence, as the shards know them."""
    counts: dict[tuple[str, str], int] = {}
    for sample in ShardSet(shards, "train"):
        key = str(sample.meta.get("set") or "unnamed"), str(sample.meta.get("licence") or "not recorded")
        counts[key] = counts.get(key, 0) + 1
    return [{"name": name, "images": n, "license": licence} for (name, licence), n in sorted(counts.items())]
