"""The training of the face parser."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from facesep.nets.face_parser import FaceParser
from facesep.training.face_detector.training import SmallTraining
from facesep.training.face_parser.batches import Batches
from facesep.training.optim import cosine_rate

WEIGHTS = (1.0, 1.0, 1.2, 1.0, 2.5, 2.5, 2.5, 3.0)
"""How much a pixel of each class counts."""
COARSE = 0.3
"""Share of the time in which the coarse part learns alone, on images of half the size."""
SIZE, HALF = 256, 128
"""Sides of the images."""
IMAGES, HALF_IMAGES = 8, 12
"""Images a step."""


def parser_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Weighted cross entropy to shares of classes, and 1 - soft IoU averaged over the classes.

    Args:
        logits: ``Tensor[B, C, H, W]``.
        wanted: ``Tensor[B, C, H, W]``, all zero where nothing is known.
    """
    weights = torch.tensor(WEIGHTS, device=logits.device)[:, None, None]
    logs = logits.log_softmax(1)
    entropy = -(logs * wanted * weights).sum() / wanted.sum().clamp_min(1)
    found = logs.exp() * wanted.sum(1, keepdim=True)
    both = (found * wanted).sum((0, 2, 3))
    either = (found + wanted - found * wanted).sum((0, 2, 3))
    there = wanted.sum((0, 2, 3)) > 4
    miss = 1 - (both + 1) / (either + 1)
    return entropy + 0.5 * (miss * there).sum() / there.sum().clamp_min(1)


class ParserTraining(SmallTraining):
    """Trains the parser for some minutes: the coarse part first, alone, then both.

    Args:
        work: the folder of the samples; receives the results, see ``SmallTraining``.
        minutes: of training in all, interruptions not counted.
    """

    name = "parser"

    def __init__(self, work: Path, minutes: float) -> None:
        super().__init__(FaceParser, work, minutes=minutes, batch_size=IMAGES, clip=3.0, save_every=50)
        self.batches = Batches(work, seed=self.step)

    def rate(self, step: int) -> float:
        """Rises over the first 2 % of the time, then falls to zero by a cosine."""
        return cosine_rate(self.largest_rate * min(1.0, self.done / 0.02 + 0.02), 0.0, self.done)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Loss of a batch: of the coarse part at half the size at first, of both then."""
        coarse = self.done < COARSE
        size, self.batch_size = (HALF, HALF_IMAGES) if coarse else (SIZE, IMAGES)
        pictures, wanted = self.batches(self.batch_size, size)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        found = self.network.coarse(pictures)[1] if coarse else self.network.half_logits(pictures)
        return {"loss": parser_loss(found, wanted)}

    def saved(self) -> dict[str, float]:
        """Writes the averaged weights; notes the minutes."""
        return super().saved() | {"minutes": self.seconds / 60}
