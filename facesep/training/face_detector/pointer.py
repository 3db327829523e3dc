"""Training of the pointer: five points, yaw and face-or-not of a crop."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from facesep.faces.networks import Pointer
from facesep.training.face_detector.face_crops import FaceCrops
from facesep.training.face_detector.training import DetectorTraining

MARGIN = 0.02
"""Points nearer to the border than this, or beyond it, are not asked for: the maps end there."""


def pointer_losses(
    points: Tensor, yaw: Tensor, face: Tensor, wanted: tuple[Tensor, Tensor, Tensor]
) -> dict[str, Tensor]:
    """Loss terms, weighted.

    Smooth L1 of the points (quadratic below 0.4 % of the crop), of the yaw, and the cross-entropy of
    being a face. Only faces count for points and yaw.
    """
    goal, turned, is_face = wanted
    visible = ((goal > MARGIN) & (goal < 1 - MARGIN)).all(-1).float() * is_face[:, None]
    off = F.smooth_l1_loss(points, goal, reduction="none", beta=0.004).sum(-1)
    total = visible.sum().clamp_min(1)
    point_loss = (off * visible).sum() / total
    yaw_loss = (F.smooth_l1_loss(yaw, turned, reduction="none", beta=0.1) * is_face).sum() / is_face.sum()
    face_loss = F.binary_cross_entropy_with_logits(face, is_face)
    return {"points": 30 * point_loss, "yaw": yaw_loss, "face": 0.5 * face_loss}


class PointerTraining(DetectorTraining):
    """Trains the pointer.

    Args:
        crops: the file of ``facesep.training.face_detector.face_crops.write_face_crops``.
        out: see ``facesep.training.face_detector.training.DetectorTraining``.
        steps: likewise.
    """

    name = "pointer"

    def __init__(self, crops: Path, out: Path, steps: int) -> None:
        super().__init__(Pointer, out, steps, batch=64)
        self.crops = FaceCrops(crops)
        self.generator = torch.Generator().manual_seed(self.step)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Loss terms of a batch of random crops."""
        images, *wanted = self.crops.batch(self.batch_size, self.generator)
        with self.accelerator.autocast():
            points, yaw, face = self.network(images.contiguous(memory_format=torch.channels_last))
        return pointer_losses(points, yaw, face, tuple(wanted))
