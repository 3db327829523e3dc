"""Pretrains the seven heads on labels: the starting point of ``train/em.py``.

Examples:
    python train/pretrain_heads.py --config mini --shards data/portraits
        --labels data/labels.safetensors --out runs/heads --epochs 12
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from facesep.nets.encoder import build_encoder
from facesep.training.config import load_config
from facesep.training.dataset import TrainingSet
from facesep.training.pretrain import HeadTraining, agreement
from facesep.training.script import new_parser, resumed, run_script


def main() -> None:
    """Parses arguments, trains, writes ``encoder.safetensors`` and ``agreement.json``."""
    parser = new_parser(__doc__, "config", "set", "shards", "labels", "out", "resume_from_checkpoint")
    parser.add_argument("--epochs", type=float, default=12.0, help="passes over the photos and mirror images")
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    run_script(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Trains the heads and measures them on the val photos."""
    config, out = load_config(arguments.config, arguments.set), Path(arguments.out)
    data, validation = (
        TrainingSet(arguments.shards, arguments.labels, split, config.image_store, config.in_memory)
        for split in ("train", "val")
    )
    torch.manual_seed(config.seed)
    encoder = build_encoder(config.model_config().encoder)
    training = HeadTraining(encoder, config, data, out, arguments.epochs, arguments.learning_rate, bar=True)
    if arguments.resume_from_checkpoint:
        training.resume(resumed(arguments.resume_from_checkpoint))
    training.run()
    scores = agreement(encoder, validation)
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    save_file(state, str(out / "encoder.safetensors"))
    (out / "agreement.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
    print("mean cosine on val:", scores)


if __name__ == "__main__":
    main()
