"""From a training run to a checkpoint folder that FaceSep loads."""

from __future__ import annotations

from pathlib import Path

from facesep.config import to_dict
from facesep.hub import write_checkpoint
from facesep.training.em import Trainer


def export(trainer: Trainer, folder: Path) -> None:
    """Writes the averaged weights of a run as a checkpoint (without a card: see ``train/push.py``)."""
    parts = {
        "encoder": trainer.averages["encoder"].state(),
        "decoder": trainer.averages["decoder"].state(),
    }
    config = to_dict(trainer.config.model_config())
    write_checkpoint(
        folder, config, parts, {"train_config.json": {"run": to_dict(trainer.config)}}, card=None
    )
