"""How the small networks of the package learn: AdamW on the processor, averaged weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from facesep.errors import CheckpointError
from facesep.training.checkpoint import checkpoints
from facesep.training.loop import Loop
from facesep.training.optim import Average, cosine_rate
from facesep.training.processes import new_accelerator


class SmallTraining(Loop):
    """Trains one network on the processor; a run that was stopped goes on where it was.

    Args:
        network: the class of the network.
        out: receives ``<name>.safetensors`` (averaged weights), ``checkpoints/`` and ``log.jsonl``.
        largest_rate: of AdamW.
        bf16: whether matrix products are computed in bfloat16, where the processor can.
        **options: see ``facesep.training.loop.Loop``.
    """

    name: str

    def __init__(
        self,
        network: type[nn.Module],
        out: Path,
        largest_rate: float = 2e-3,
        bf16: bool = False,
        **options: Any,
    ) -> None:
        torch.manual_seed(0)
        model = network().to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(model.parameters(), lr=largest_rate, weight_decay=0.02)
        self.largest_rate = largest_rate
        options |= {"average": Average(model, 0.998, warmup=(-1, 19)), "log_every": 50, "bar": True}
        options["accelerator"] = new_accelerator(bf16, cpu=True)
        super().__init__(model, optimiser, out, **options)
        if checkpoints(self.out / "checkpoints"):
            self.resume()

    def saved(self) -> dict[str, float]:
        """Writes the averaged weights."""
        weights = {key: value.contiguous() for key, value in self.average.values.items()}
        save_file(weights, self.out / f"{self.name}.safetensors")
        return {}


class DetectorTraining(SmallTraining):
    """Trains a network of the detector for some steps.

    Args:
        network: the class of the network.
        out: see ``SmallTraining``.
        steps: batches in all.
        batch: examples of a batch.
    """

    def __init__(self, network: type[nn.Module], out: Path, steps: int, batch: int) -> None:
        super().__init__(network, out, bf16=True, steps=steps, batch_size=batch, clip=5.0, save_every=200)

    def rate(self, step: int) -> float:
        """Rises over the first 3 % of the steps, then falls to zero by a cosine."""
        warm = min(1.0, (step + 1) / (0.03 * self.steps))
        return cosine_rate(self.largest_rate * warm, 0.0, step / self.steps)


def pack(weights: Path, folder: Path, metadata: dict[str, str]) -> None:
    """Writes weights in half precision under their name into a folder: a bundled file.

    Raises:
        CheckpointError: if half precision cannot hold them.
    """
    kept = {key: value.half() for key, value in load_file(weights).items() if value.is_floating_point()}
    if not all(torch.isfinite(value).all() for value in kept.values()):
        raise CheckpointError(f"{weights} has weights that half precision cannot hold: train it again")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(kept, folder / weights.name, metadata)
