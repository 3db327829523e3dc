"""Training of the pointer: five points, yaw and face-or-not of a crop."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from facesep.faces.networks import Pointer
from facesep.training.faces.face_crops import FaceCrops
from facesep.training.faces.finder import average
from facesep.training.faces.state import load_state, save_state

MARGIN = 0.02
"""Points nearer to the border than this, or beyond it, are not asked for: the maps end there."""


def pointer_loss(
    points: Tensor, yaw: Tensor, face: Tensor, wanted: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The loss, and the mean distance of the points as a fraction of the crop.

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
    distance = ((points - goal).norm(dim=-1) * visible).sum() / total
    return 30 * point_loss + yaw_loss + 0.5 * face_loss, distance.detach()


def train_pointer(crops: Path, out: Path, steps: int, batch: int = 64, rate: float = 2e-3) -> None:
    """Trains the pointer; call it again to go on after an interruption.

    Args:
        crops: the file of :func:`facesep.training.faces.face_crops.write_face_crops`.
        out: receives ``pointer.safetensors`` (averaged weights), ``state.safetensors`` and ``log.jsonl``.
        steps: batches in all; the rate rises over the first 3 % and falls to zero by a cosine.
        batch: crops a step.
        rate: largest learning rate of AdamW.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model, slow = Pointer().to(memory_format=torch.channels_last), Pointer()
    slow.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    first = load_state(out / "state.safetensors", model, slow, optimiser)
    data, generator = FaceCrops(crops), torch.Generator().manual_seed(first)
    total, distance, began = 0.0, 0.0, time.monotonic()
    for step in range(first, steps):
        warm = min(1.0, (step + 1) / (0.03 * steps))
        for group in optimiser.param_groups:
            group["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        images, *wanted = data.batch(batch, generator)
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            points, yaw, face = model(images.contiguous(memory_format=torch.channels_last))
        loss, off = pointer_loss(points, yaw, face, tuple(wanted))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        average(slow, model, min(0.998, step / (step + 20)))
        total, distance = total + loss.item(), distance + off.item()
        if (step + 1) % 50 == 0:
            line = {"step": step + 1, "loss": total / 50, "distance": distance / 50}
            line["seconds"] = time.monotonic() - began
            with (out / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            total = distance = 0.0
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save_file(slow.state_dict(), out / "pointer.safetensors")
            save_state(out / "state.safetensors", step + 1, model, slow, optimiser)
