"""What a training costs: time and memory of a step measured, and multiplied for a whole run."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from typing import Any

import numpy as np
import torch

from facesep.codes import CODE_LENGTH, Codes
from facesep.environment import peak_memory
from facesep.training.codebook import KINDS
from facesep.training.config import Phase, TrainConfig
from facesep.training.dataset import Augmentation, Batch
from facesep.training.em import Trainer
from facesep.training.loader import Loader, Step


class RandomSet:
    """Noise in the place of photos: what a step costs does not depend on what it sees."""

    in_memory, per_photo = True, 1

    def __init__(self, count: int) -> None:
        self.ids = np.arange(count)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, sharp: bool = False) -> torch.Tensor:
        """All rows."""
        return torch.arange(len(self))

    def labels(self, rows: torch.Tensor) -> Codes:
        """Random codes with a small pose."""
        vector = torch.randn(len(rows), CODE_LENGTH)
        vector[:, -6:] *= 0.05
        return Codes.from_vector(vector)

    def partner(self, rows: torch.Tensor, generator=None) -> torch.Tensor:
        """The same rows."""
        return rows

    def batch(
        self, rows: torch.Tensor, size: int, augmentation: Augmentation | None = None, generator=None
    ) -> Batch:
        """Noise with the shapes of a batch."""
        count, side = len(rows), max(size, 128)
        image = torch.rand(count, 3, side, side)
        points = torch.tensor([[0.38, 0.5], [0.62, 0.5], [0.5, 0.63], [0.4, 0.75], [0.6, 0.75]])
        return Batch(
            rows,
            image,
            torch.rand(count, 3, size, size),
            torch.ones(count, 1, size, size),
            torch.ones(count, 1, size, size),
            torch.full((count, 16, 16), 9.5)[:, None],
            points.expand(count, 5, 2).clone(),
            torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4),
        )


def step_cost(config: TrainConfig, kind: str, steps: int = 3) -> dict[str, Any]:
    """Measures steps of one phase at full size, with the losses of the last such one, in this process.

    Args:
        config: the run; perceptual and identity networks are the paper's, with random weights.
        kind: ``decoder``, ``encoder`` or ``joint``.
        steps: measured steps, after one that is not.

    Returns:
        ``stage`` (the kind), ``batch``, ``seconds`` of the fastest step, ``images_per_second``, ``memory_gb``
        (peak of the whole process on a CPU, of tensors on a GPU) and ``pixels``.
    """
    from facesep.nets.official.arcface import ArcFace
    from facesep.nets.official.vgg19 import VGG19

    alike = [one for one in config.schedule if one.kind == kind and not one.only]
    phase = Phase(kind, weights=alike[-1].weights if alike else {})
    config = dataclasses.replace(config, schedule=(phase,), start="labels")
    data = RandomSet(max(config.batch_size, 2))
    perceptual, recogniser = VGG19(), ArcFace("r50").eval()
    for network in (perceptual, recogniser):
        network.requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, data, folder, perceptual, recogniser)
        trainer.begin()
        trainer.book.mark()
        active = trainer.activate(0)
        if trainer.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        times = []
        asked = Step(data.rows()[: config.batch_size], active.image_size, 0, None, active.partners)
        for batch in Loader(data, [asked] * (steps + 1)):
            start = time.perf_counter()
            trainer.learn(active, batch, 0.0)
            if trainer.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
            trainer.step += 1
        best = min(times[1:])
        if trainer.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated()
        else:
            memory = peak_memory()
    return {
        "stage": kind,
        "batch": config.batch_size,
        "pixels": active.image_size,
        "seconds": best,
        "images_per_second": config.batch_size / best,
        "memory_gb": memory / 1e9,
    }


def book_bytes(images: int) -> int:
    """Disk of the code book of so many rows."""
    return images * sum(
        kind.itemsize * (1 if name == "steps" else CODE_LENGTH) for name, kind in KINDS.items()
    )


def run_seconds(config: TrainConfig, images: int, rates: dict[str, float], processes: int = 1) -> float:
    """Time of the whole schedule.

    Args:
        config: gives the epochs of each phase.
        images: rows of an epoch.
        rates: images per second of one process, by kind of phase.
        processes: how many work, each at that rate.
    """
    return sum(phase.epochs * images / rates[phase.kind] / processes for phase in config.schedule)
