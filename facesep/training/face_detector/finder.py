"""Training of the finder on composed scenes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesep.faces.networks import FINDER_STRIDE, Finder
from facesep.training.face_detector.scene_files import SceneFiles
from facesep.training.face_detector.training import DetectorTraining


def targets(boxes: list[Tensor], cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the finder's maps should say.

    Args:
        boxes: per photo ``Tensor[N, 4]`` in pixels.
        cells: side of the maps.

    Returns:
        ``(heat, sides, weight)``: ``Tensor[B, cells, cells]``, 1 at centres with a Gaussian fall-off
        around (sigma 8 % of the face size, at least 0.6 cells); ``Tensor[B, 4, cells, cells]`` distances
        to the sides in strides; ``Tensor[B, cells, cells]`` how much a cell's box counts.
    """
    heat = torch.zeros(len(boxes), cells, cells)
    sides = torch.ones(len(boxes), 4, cells, cells)
    middle = torch.arange(cells) + 0.5
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    for index, photo in enumerate(boxes):
        for left, top, right, bottom in photo.div(FINDER_STRIDE).tolist():
            centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
            column, row = int(centre_x), int(centre_y)
            if not (0 <= column < cells and 0 <= row < cells):
                continue
            sigma = max(0.6, 0.08 * math.sqrt((right - left) * (bottom - top)))
            bell = torch.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * sigma**2))
            bell[row, column] = 1.0
            mine = bell > heat[index]
            heat[index] = torch.where(mine, bell, heat[index])
            distances = torch.stack((x - left, y - top, right - x, bottom - y))
            sides[index] = torch.where(mine, distances, sides[index])
    weight = heat * ((heat > 0.4) & (sides.amin(1) > 0.05))
    return heat, sides.clamp_min(0.05), weight


def finder_loss(centre: Tensor, sides: Tensor, wanted: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Focal loss of the centres (CenterNet: exponents 2 and 4), L1 of log sides, and 1 - IoU.

    Args:
        centre: ``Tensor[B, H, W]`` logits.
        sides: ``Tensor[B, 4, H, W]`` log distances in strides.
        wanted: see ``targets``.
    """
    heat, distances, weight = wanted
    found = torch.sigmoid(centre)
    is_centre = heat == 1
    positive = -F.logsigmoid(centre) * (1 - found) ** 2
    negative = -F.logsigmoid(-centre) * found**2 * (1 - heat) ** 4
    focal = torch.where(is_centre, positive, negative).sum() / is_centre.sum().clamp_min(1)
    total = weight.sum().clamp_min(1)
    off = ((sides - distances.log()).abs().mean(1) * weight).sum() / total
    guess = sides.clamp(-4, 6).exp()
    overlap = torch.minimum(guess[:, :2], distances[:, :2]) + torch.minimum(guess[:, 2:], distances[:, 2:])
    area = (guess[:, :2] + guess[:, 2:]).prod(1) + (distances[:, :2] + distances[:, 2:]).prod(1)
    inner = overlap.clamp_min(0).prod(1)
    miss = ((1 - inner / (area - inner).clamp_min(1e-3)) * weight).sum() / total
    return focal + off + miss


def load_batch(
    scenes: SceneFiles, rng: np.random.Generator, batch: int, side: int
) -> tuple[Tensor, list[Tensor]]:
    """Random scenes, shifted, mirrored, tinted and resized to ``side``: RGB in [-1, 1] and boxes."""
    pictures, boxes = [], []
    for _ in range(batch):
        pixels, box = scenes[int(rng.integers(len(scenes)))]
        full, box = pixels.shape[0], box.copy()
        span = full - int(rng.integers(0, 25))  # a random window: cells and pixels fall differently
        x, y = rng.integers(0, full - span + 1, 2)
        pixels, box = pixels[y : y + span, x : x + span], box - (x, y, x, y)
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
            box[:, [0, 2]] = span - box[:, [2, 0]]
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
        image = F.interpolate(image, (side, side), mode="bilinear", antialias=True, align_corners=False)
        gain = torch.from_numpy(np.exp(rng.normal(0, 0.15, 3) + rng.normal(0, 0.2)).astype(np.float32))
        pictures.append((image * gain[:, None, None]).clamp(0, 255) / 127.5 - 1)
        boxes.append(torch.from_numpy(box.astype(np.float32)) * (side / span))
    return torch.cat(pictures).contiguous(memory_format=torch.channels_last), boxes


class FinderTraining(DetectorTraining):
    """Trains the finder.

    Args:
        scenes: folder of shards of scenes; new ones are picked up on the way.
        out: see ``facesep.training.face_detector.training.DetectorTraining``.
        steps: likewise.
    """

    name = "finder"

    def __init__(self, scenes: Path, out: Path, steps: int) -> None:
        super().__init__(Finder, out, steps, batch=24)
        self.scenes = SceneFiles(scenes)
        self.rng = np.random.default_rng(self.step)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Loss of a batch of random scenes at a random size."""
        side = int(self.rng.choice((160, 192, 224, 256, 288), p=(0.15, 0.2, 0.25, 0.3, 0.1)))
        pictures, boxes = load_batch(self.scenes, self.rng, self.batch_size, side)
        with self.accelerator.autocast():
            centre, sides = self.network(pictures)
        return {"loss": finder_loss(centre.float(), sides.float(), targets(boxes, side // FINDER_STRIDE))}

    def saved(self) -> dict[str, float]:
        """Writes the averaged weights, looks for new scenes and counts them."""
        self.scenes.refresh()
        return super().saved() | {"scenes": len(self.scenes)}
