"""What goes into the refiner and comes out of it: pictures of several kinds, and noise by seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from facesep.errors import ConfigError, ImageError
from facesep.images import load_image, note_refined, to_image, to_tensor

Images = TypeVar("Images", Image.Image, Sequence[Image.Image], Tensor)


def to_batch(images: Images) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """``Tensor[B, 3, S, S]``, and how a batch becomes what was given."""
    if isinstance(images, Tensor):
        batch = images if images.ndim == 4 else images[None]
        back = (lambda x: x) if images.ndim == 4 else (lambda x: x[0])
        if batch.ndim != 4 or batch.shape[1] != 3 or not batch.is_floating_point():
            raise ImageError(f"a batch is a float tensor [B, 3, S, S] in 0..1, got {tuple(images.shape)}")
        if not (batch.isfinite().all() and batch.min() >= -1e-3 and batch.max() <= 1 + 1e-3):
            raise ImageError("the values of a picture must lie between 0 and 1")
    elif isinstance(images, list | tuple):
        if not images:
            raise ImageError("no picture was given")
        tensors = [to_tensor(load_image(image)) for image in images]
        if len({tensor.shape for tensor in tensors}) > 1:
            raise ImageError("the pictures of a batch must have one size: refine others one by one")
        batch, back = torch.stack(tensors), lambda x: [note_refined(to_image(one)) for one in x]
    else:
        batch, back = to_tensor(load_image(images))[None], lambda x: note_refined(to_image(x[0]))
    if batch.shape[-1] != batch.shape[-2] or not len(batch):
        raise ImageError(f"refinement needs square pictures, got {batch.shape[-1]}x{batch.shape[-2]}")
    return batch, back


def resized(images: Tensor, size: int) -> Tensor:
    """Scales ``Tensor[B, 3, S, S]`` to another side, in 0..1."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(0, 1)


def generators_of(seed: int | Sequence[int], count: int) -> list[torch.Generator]:
    """One source of noise for all pictures, or one for each."""
    seeds = list(seed) if isinstance(seed, list | tuple) else [seed]
    if isinstance(seed, list | tuple) and len(seeds) != count:
        raise ConfigError(f"{count} pictures need one seed or {count}, got {len(seeds)}")
    if any(isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < 2**63 for one in seeds):
        raise ConfigError("a seed is a whole number from 0 to 2^63 - 1")
    return [torch.Generator().manual_seed(one) for one in seeds]


def noise_like(like: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Drawn on the CPU, so that a seed means the same on every device."""
    drawn = torch.stack([torch.randn(like.shape[1:], generator=one) for one in generators])
    return drawn.to(like).expand_as(like)
