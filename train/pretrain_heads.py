"""Pretrains the seven heads on labels: the starting point of ``train/em.py``.

Example:
    python train/pretrain_heads.py --config train/configs/mini.yaml --shards data/portraits
        --labels data/labels.safetensors --out runs/heads --epochs 12
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from facesep.errors import FaceSepError
from facesep.nets.encoder import build_encoder
from facesep.training.config import load_config
from facesep.training.dataset import TrainingSet
from facesep.training.pretrain import pretrain_heads


def main() -> None:
    """Parses arguments, trains, writes ``encoder.safetensors`` and ``agreement.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="YAML file of the run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one value")
    parser.add_argument("--shards", required=True, help="folder written by train/prepare_data.py")
    parser.add_argument("--labels", required=True, help="file written by train/analyse.py")
    parser.add_argument("--out", required=True, type=Path, help="folder for the result")
    parser.add_argument("--epochs", type=float, default=12.0, help="passes over the photos and mirror images")
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config, arguments.set)
        data, validation = (
            TrainingSet(arguments.shards, arguments.labels, split, config.image_store, config.in_memory)
            for split in ("train", "val")
        )
        torch.manual_seed(config.seed)
        encoder = build_encoder(config.model_config().encoder)
        scores = pretrain_heads(
            encoder, config, data, validation, arguments.epochs, arguments.learning_rate, arguments.out
        )
    except FaceSepError as error:
        parser.exit(1, f"error: {error}\n")
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    save_file(state, str(arguments.out / "encoder.safetensors"))
    (arguments.out / "agreement.json").write_text(json.dumps(scores, indent=1))
    print("mean cosine on val:", scores)


if __name__ == "__main__":
    main()
