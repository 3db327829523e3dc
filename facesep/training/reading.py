"""How many images a second the reader gives when nothing is trained."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from facesep.environment import peak_memory
from facesep.errors import ConfigError
from facesep.training.dataset import Augmentation, TrainingSet
from facesep.training.loader import Loader, Step


@dataclass(frozen=True)
class Reading:
    """What was measured.

    Attributes:
        images: read.
        seconds: from the first request to the last batch.
        peak_memory: of the process so far, bytes.
    """

    images: int
    seconds: float
    peak_memory: float

    @property
    def speed(self) -> float:
        """Images a second."""
        return self.images / self.seconds


def measure(
    data: TrainingSet, size: int, batch_size: int = 16, batches: int = 100, threads: int | None = None
) -> Reading:
    """Reads augmented batches in random order, as training does, and drops them.

    Args:
        data: what to read from.
        size: side of target and mask.
        batch_size: images of a batch.
        batches: how many.
        threads: see ``facesep.training.loader.Loader``.

    Raises:
        ConfigError: for counts that make no sense.
    """
    if batch_size < 1 or batches < 1 or size < 1 or (threads or 0) < 0:
        raise ConfigError("batch size, batches and size must be at least 1, threads at least 0")
    generator = torch.Generator().manual_seed(0)

    def steps():
        for number in range(batches):
            rows = torch.randint(len(data), (batch_size,), generator=generator)
            yield Step(rows, size, number, Augmentation())

    images, clock = 0, time.perf_counter()
    for batch in Loader(data, steps(), threads):
        images += len(batch.rows)
    seconds = time.perf_counter() - clock
    return Reading(images, seconds, peak_memory())
