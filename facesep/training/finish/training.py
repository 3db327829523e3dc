"""The training of the Finish network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facesep.detail.round_trip import steps
from facesep.nets.finish import Finish, share
from facesep.nets.official.st_lpips import StLpips
from facesep.training.face_detector.training import SmallTraining
from facesep.training.finish.batches import Batch, Batches, whole_pair
from facesep.training.losses import perceptual_loss
from facesep.training.optim import cosine_rate

IMAGES = 8
"""Windows of a step."""
CROP, SLICES = 96, 3
"""Side of the middle of a window, and slices of VGG, that the perceptual loss looks at."""
WEIGHTS = {"pixel": 4.0, "perceptual": 5.0, "edges": 2.0}
VALIDATION = 12
"""Pairs that are measured at every checkpoint."""


def terms(finished: Tensor, batch: Batch, perceptual: nn.Module | None) -> dict[str, Tensor]:
    """Losses in the part that the network may change.

    ``pixel`` is the mean absolute difference; ``edges`` that of gradients, place by place (their local means
    alone are matched by a grid, too); ``perceptual`` compares features of VGG for half of the images. Outside
    of that part the truth is compared with itself, which adds nothing.

    Args:
        finished: ``Tensor[B, 3, S, S]``.
        batch: draft and truth.
        perceptual: has ``taps``; None leaves the term out.
    """
    part = share(batch.draft.confidence) * batch.matte
    area = part.sum().clamp_min(1.0) * 3
    shown = torch.lerp(batch.colours, finished, part)
    found = {"pixel": (shown - batch.colours).abs().sum() / area}
    found["edges"] = (steps(shown - batch.colours) * part).sum() / area
    if perceptual is not None:
        first = (shown.shape[-1] - CROP) // 2
        some = slice(0, (len(shown) + 1) // 2)
        middle = [
            each[some, :, first : first + CROP, first : first + CROP] for each in (shown, batch.colours, part)
        ]
        with torch.no_grad():
            wanted = perceptual.taps(middle[1])
        found["perceptual"] = perceptual_loss(perceptual.taps(middle[0]), wanted)
        found["perceptual"] = found["perceptual"] / middle[2].mean().clamp_min(0.05)
    return {name: value * WEIGHTS[name] for name, value in found.items()}


class FinishTraining(SmallTraining):
    """Trains the network for some minutes or steps.

    Args:
        work: the folder of the pairs; receives the results, see ``SmallTraining``.
        minutes: of training in all, interruptions not counted; 0 for a run of so many ``steps``.
        perceptual: file of ST-LPIPS's VGG trunk; None leaves the perceptual loss out.
        steps: how many there are, else what the minutes allow.
        images: windows of a step.
    """

    name = "finish"

    def __init__(
        self,
        work: str | Path,
        minutes: float,
        perceptual: str | Path | None = None,
        steps: int | None = None,
        images: int = IMAGES,
        save_every: int = 100,
    ) -> None:
        self.batches, self.val = Batches(work), Batches(work, "val").files[:VALIDATION]
        self.perceptual = None if perceptual is None else StLpips.from_file(perceptual, SLICES)
        super().__init__(
            Finish,
            Path(work),
            largest_rate=1e-3,
            minutes=minutes,
            steps=steps,
            batch_size=images,
            clip=1.0,
            save_every=save_every,
        )

    def rate(self, step: int) -> float:
        """Rises over the first 2 % of the run, then falls to zero by a cosine."""
        return cosine_rate(self.largest_rate * min(1.0, self.done / 0.02 + 0.02), 0.0, self.done)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Those of ``terms`` for a batch that follows from the step's number."""
        batch = self.batches(self.batch_size, np.random.default_rng(step))
        return terms(self.network(batch.draft), batch, self.perceptual)

    @torch.no_grad()
    def saved(self) -> dict[str, float]:
        """Writes the averaged weights; measures draft and result on pairs of the val split."""
        super().saved()
        network = Finish().eval()
        network.load_state_dict(self.average.state())
        sums = np.zeros(4)
        for path in self.val:
            batch = whole_pair(path)
            part = share(batch.draft.confidence) * batch.matte
            truth = float((steps(batch.colours) * part).sum())
            for k, image in enumerate((batch.draft.colours, network(batch.draft))):
                sums[k] += float(((image - batch.colours).abs() * part).sum() / (3 * part.sum().clamp_min(1)))
                sums[2 + k] += float((steps(image) * part).sum()) / max(truth, 1e-6)
        names = ("val_draft", "val_finished", "val_draft_energy", "val_energy")
        return dict(zip(names, (sums / max(len(self.val), 1)).tolist(), strict=True))
