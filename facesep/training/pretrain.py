"""Pretraining of the seven heads on labels, as the paper starts from pretrained heads."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from facesep.codes import ATTRIBUTES
from facesep.config import to_dict
from facesep.errors import CheckpointError
from facesep.training.augment import warp_pose
from facesep.training.config import TrainConfig
from facesep.training.dataset import PHOTO_SIZE, TrainingSet
from facesep.training.loop import Loop
from facesep.training.losses import codes_loss, scaled_distance
from facesep.training.optim import cosine_rate
from facesep.training.processes import new_accelerator


class HeadTraining(Loop):
    """Trains every head to predict its label; heads share nothing, so one sum of losses serves all.

    Args:
        encoder: the encoder, changed in place.
        config: gives batch size, augmentation, precision and seed.
        data: photos with labels.
        out: folder for checkpoints and the log.
        epochs: passes over the photos and their mirror images.
        learning_rate: of Adam at the start; it falls to 2 % along a cosine.
        bar: whether to draw a progress bar.
    """

    def __init__(
        self,
        encoder: nn.Module,
        config: TrainConfig,
        data: TrainingSet,
        out: str | Path,
        epochs: float,
        learning_rate: float,
        bar: bool = False,
    ) -> None:
        accelerator = new_accelerator(config.bf16)
        encoder.to(accelerator.device)
        self.config, self.data, self.learning_rate = config, data, learning_rate
        self.per_epoch = max(len(data) // config.batch_size, 1)
        self.epoch, self.order = -1, torch.empty(0, dtype=torch.int64)
        super().__init__(
            encoder,
            torch.optim.Adam(encoder.parameters(), lr=learning_rate),
            out,
            steps=max(round(epochs * self.per_epoch), 1),
            batch_size=config.batch_size,
            clip=10.0,
            log_every=config.log_every,
            config={"encoder": to_dict(config.model_config().encoder)},
            fixed=("encoder",),
            accelerator=accelerator,
            bar=bar,
        )

    def rate(self, step: int) -> float:
        """Falls to 2 % along half a cosine."""
        return cosine_rate(self.learning_rate, self.learning_rate * 0.02, step / self.steps)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Distance between prediction and label, by attribute."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            torch.manual_seed(self.config.seed * 1_000_003 + epoch * self.per_epoch)
            self.epoch, self.order = epoch, torch.randperm(len(self.data))
        if position:
            torch.manual_seed(self.config.seed * 1_000_003 + step)
        rows = self.order[position * self.batch_size :][: self.batch_size]
        batch = self.data.batch(rows, PHOTO_SIZE, self.config.augmentation)
        labels = warp_pose(self.data.labels(rows), batch.similarity).to(self.device)
        with self.accelerator.autocast():
            predicted = self.network(batch.photo.to(self.device))
        return codes_loss(predicted, labels, dict.fromkeys(ATTRIBUTES, 1.0), scaled_distance)


@torch.no_grad()
def agreement(encoder: nn.Module, data: TrainingSet) -> dict[str, float]:
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


def load_heads(encoder: nn.Module, path: str | Path) -> None:
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
