"""Training batches of the Finish network: windows of pairs around what is missing, in other light."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.errors import DataError
from facesep.nets.finish import UNSURE, Draft
from facesep.training.face_parser.batches import jpeg
from facesep.training.finish.pairs import files, read_pair

WINDOW = 192
"""Side of the windows in pixels."""
WIDEST = 320
"""Largest side in pixels of a pair that is brought to the size of a window."""
GROUPS = (3, 1, 1, 1, 3, 3, 1, 3, 1)
"""Channels of the pixels of a pair: those of a draft, then colours and matte of the photo."""


class Batch(NamedTuple):
    """What one step learns from.

    Attributes:
        draft: what the network sees.
        colours: ``Tensor[B, 3, S, S]`` in 0..1, what the photo shows.
        matte: ``Tensor[B, 1, S, S]`` in 0..1, where both draft and photo show the head.
    """

    draft: Draft
    colours: Tensor
    matte: Tensor


def batch_of(pixels: Tensor, points: Tensor) -> Batch:
    """A batch from the bytes of pairs.

    Args:
        pixels: ``Tensor[B, 17, S, S]`` in 0..1.
        points: ``Tensor[B, 3, n, n]`` decimetres.
    """
    *draft, colours, matte = pixels.split(GROUPS, 1)
    draft = Draft(*draft, points)
    return Batch(draft, colours, matte * draft.alpha)


def whole_pair(path: Path) -> Batch:
    """A pair as it is, a batch of one."""
    found = read_pair(path)
    pixels, points = (
        torch.from_numpy(found[name]).permute(2, 0, 1)[None].float() for name in ("pixels", "points")
    )
    return batch_of(pixels / 255, points)


class Batches:
    """Random batches from the files of ``facesep.training.finish.pairs.prepare``.

    Args:
        work: their folder.
        split: ``train`` or ``val``.

    Raises:
        DataError: if there are none.
    """

    def __init__(self, work: str | Path, split: str = "train") -> None:
        self.files = files(work, split)
        if not self.files:
            raise DataError(f"{work} has no pairs for {split}: run train/finish.py prepare first")

    def __call__(self, count: int, rng: np.random.Generator) -> Batch:
        """A batch of windows; all that is random comes from ``rng``."""
        windows = [
            _window(read_pair(self.files[int(rng.integers(len(self.files)))]), rng) for _ in range(count)
        ]
        batch = batch_of(*(torch.cat(column) for column in zip(*windows, strict=True)))
        return _degraded(_holed(_tinted(batch, rng), rng), rng)


def _window(found: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A window around a random pixel that the draft is unsure of, mirrored at random."""
    pixels, points = found["pixels"], found["points"]
    size, cells = pixels.shape[0], points.shape[0]
    unsure = np.argwhere((pixels[::4, ::4, 3] < 255 * UNSURE) & (pixels[::4, ::4, 4] > 127)) * 4
    middle = unsure[rng.integers(len(unsure))] if len(unsure) else rng.integers(size // 4, 3 * size // 4, 2)
    side = int(rng.integers(WINDOW, min(WIDEST, size) + 1))
    step = size // cells
    # Windows begin at cells of the places, so that both are cut alike.
    y, x = (int(np.clip(at - side / 2 + rng.integers(-16, 17), 0, size - side)) // step for at in middle)
    n = side // step
    side = n * step
    crop = torch.from_numpy(pixels[y * step : y * step + side, x * step : x * step + side].copy())
    places = torch.from_numpy(points[y : y + n, x : x + n].copy())
    crop, places = (each.permute(2, 0, 1)[None].float() for each in (crop, places))
    crop = F.interpolate(crop / 255, (WINDOW, WINDOW), mode="bilinear", antialias=True)
    places = F.interpolate(places, (WINDOW // 4, WINDOW // 4), mode="bilinear")
    if rng.random() < 0.5:
        crop, places = crop.flip(-1), places.flip(-1) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    return crop, places


def _tinted(batch: Batch, rng: np.random.Generator) -> Batch:
    """Another exposure, tint and gamma of all of a pair's pictures."""
    count = len(batch.colours)
    gain = rng.normal(0, 0.12, (count, 1, 1, 1)) + rng.normal(0, 0.06, (count, 3, 1, 1))
    gain, gamma = (
        torch.from_numpy(np.exp(each)).float() for each in (gain, rng.normal(0, 0.1, (count, 1, 1, 1)))
    )

    def tint(image: Tensor) -> Tensor:
        return (image.clamp_min(1e-4) ** gamma * gain).clamp(0, 1)

    draft = batch.draft
    pictures = {name: tint(getattr(draft, name)) for name in ("colours", "render", "mirrored")}
    return batch._replace(draft=draft._replace(**pictures), colours=tint(batch.colours))


def _holed(batch: Batch, rng: np.random.Generator) -> Batch:
    """Ellipses in some of the drafts that the photo seems not to show."""
    draft = batch.draft
    count, size = len(batch.colours), batch.colours.shape[-1]
    at = (torch.arange(size) + 0.5) / size
    sure = torch.ones(count, 1, size, size)
    for i in range(count):
        for _ in range(int(rng.integers(0, 3))):
            y, x = rng.uniform(0.15, 0.85, 2)
            height, width = np.exp(rng.uniform(np.log(0.03), np.log(0.2), 2))
            distance = ((at[:, None] - y) / height) ** 2 + ((at[None] - x) / width) ** 2
            sure[i, 0] *= ((distance - 0.8) / 0.6).clamp(0, 1).float()
    colours = torch.lerp(draft.render, draft.colours, sure)
    return batch._replace(draft=draft._replace(colours=colours, confidence=draft.confidence * sure))


def _degraded(batch: Batch, rng: np.random.Generator) -> Batch:
    """Noise and JPEG in what comes from the photo, of some of the drafts."""
    draft = batch.draft
    count = len(batch.colours)
    strength = torch.from_numpy(rng.uniform(0, 0.03, (count, 1, 1, 1)) * (rng.random((count, 1, 1, 1)) < 0.4))
    noise = torch.from_numpy(rng.standard_normal(batch.colours.shape, np.float32)) * strength.float()
    colours = (draft.colours + noise * draft.confidence).clamp(0, 1)
    mirrored = (draft.mirrored + noise.flip(-1)).clamp(0, 1)
    for i in range(count):
        if rng.random() < 0.3:
            compressed = jpeg(colours[i : i + 1], int(rng.integers(40, 90)))[0]
            colours[i] = torch.lerp(colours[i], compressed, draft.confidence[i])
    return batch._replace(draft=draft._replace(colours=colours, mirrored=mirrored))
