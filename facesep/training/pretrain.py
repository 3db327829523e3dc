"""Pretraining of the seven heads on labels, as the paper starts from pretrained heads."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from facesep.codes import ATTRIBUTES
from facesep.errors import CheckpointError
from facesep.training.augment import warp_pose
from facesep.training.config import TrainConfig
from facesep.training.dataset import PHOTO_SIZE, TrainingSet
from facesep.training.losses import codes_loss, scaled_distance
from facesep.training.optim import cosine_rate
from facesep.training.processes import new_accelerator


def pretrain_heads(
    encoder: torch.nn.Module,
    config: TrainConfig,
    data: TrainingSet,
    validation: TrainingSet,
    epochs: float,
    learning_rate: float,
    out: Path,
) -> dict[str, float]:
    """Trains every head to predict its label; heads share nothing, so one sum of losses serves all.

    Args:
        encoder: the encoder, changed in place.
        config: gives batch size, augmentation, precision and seed.
        data: photos with labels.
        validation: photos of the other split.
        epochs: passes over the photos and their mirror images.
        learning_rate: of Adam at the start; it falls to 2 % along a cosine.
        out: folder for the log.

    Returns:
        Mean cosine between prediction and label on the validation photos, per attribute.
    """
    accelerator = new_accelerator(config.bf16)
    encoder.to(accelerator.device).train()
    optimiser = torch.optim.Adam(encoder.parameters(), lr=learning_rate)
    out.mkdir(parents=True, exist_ok=True)
    per_epoch = max(len(data) // config.batch_size, 1)
    steps, totals, clock = max(round(epochs * per_epoch), 1), defaultdict(float), time.monotonic()
    ones = dict.fromkeys(ATTRIBUTES, 1.0)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        torch.manual_seed(config.seed * 1_000_003 + step)
        position = step % per_epoch
        if position == 0:
            order = torch.randperm(len(data))
        rows = order[position * config.batch_size :][: config.batch_size]
        batch = data.batch(rows, PHOTO_SIZE, config.augmentation)
        labels = warp_pose(data.labels(rows), batch.similarity).to(accelerator.device)
        with accelerator.autocast():
            predicted = encoder(batch.photo.to(accelerator.device))
        terms = codes_loss(predicted, labels, ones, scaled_distance)
        accelerator.backward(sum(terms.values()))
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 10.0)
        optimiser.param_groups[0]["lr"] = cosine_rate(learning_rate, learning_rate * 0.02, step / steps)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        for name, value in terms.items():
            totals[name] += float(value.detach())
        if (step + 1) % config.log_every == 0 or step + 1 == steps:
            seen = (step % config.log_every) + 1
            speed = seen * config.batch_size / (time.monotonic() - clock)
            line = {"step": step + 1, "steps": steps, "images_per_second": round(speed, 1)}
            line |= {name: round(value / seen, 4) for name, value in totals.items()}
            totals.clear()
            clock = time.monotonic()
            with open(out / "pretrain.jsonl", "a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)  # noqa: T201
    return agreement(encoder, validation)


@torch.no_grad()
def agreement(encoder: torch.nn.Module, data: TrainingSet) -> dict[str, float]:
    """Mean cosine between predicted and labelled codes of the photos as they are, per attribute."""
    device = next(encoder.parameters()).device
    totals: dict[str, float] = defaultdict(float)
    for rows in torch.arange(0, len(data), 2).split(32):
        predicted = encoder(data.batch(rows, PHOTO_SIZE).photo.to(device)).to("cpu")
        labels = data.labels(rows)
        for name in ATTRIBUTES:
            a, b = getattr(predicted, name), getattr(labels, name)
            totals[name] += float(torch.cosine_similarity(a, b, dim=-1).sum())
    return {name: round(value / (len(data) // 2), 4) for name, value in totals.items()}


def load_heads(encoder: torch.nn.Module, path: str | Path) -> None:
    """Takes over the heads that ``train/pretrain_heads.py`` wrote.

    Raises:
        CheckpointError: if the file is missing or damaged, or holds heads of another configuration.
    """
    try:
        encoder.load_state_dict(load_file(str(path)))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path} holds other heads ({reason}): run train/pretrain_heads.py with this configuration"
        ) from error
