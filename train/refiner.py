"""Trains a refiner: ``accelerate launch train/refiner.py --config train/configs/refiner.yaml``.

Example:
    python train/refiner.py --config train/configs/refiner.yaml --shards data/portraits --out runs/refiner
    python train/refiner.py ... --checkpoint user/repo       pairs of render and photo, too
    python train/refiner.py ... --resume_from_checkpoint latest

Needs torch, accelerate and diffusers: pip install "facesep[train,refine]".
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from facesep.config import to_dict
from facesep.errors import ConfigError, FaceSepError


def main() -> None:
    """Parses arguments and trains."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="YAML file of the run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one value")
    parser.add_argument("--shards", required=True, help="folder written by train/prepare_data.py")
    parser.add_argument("--out", required=True, help="folder for checkpoints, the log and the refiner")
    parser.add_argument("--checkpoint", help="folder or user/repo: pairs of its renders and photos, too")
    parser.add_argument("--about", help="JSON for the card: license, summary, data")
    parser.add_argument("--resume_from_checkpoint", metavar="latest|FOLDER", help="continue a run")
    parser.add_argument("--push_to_hub", metavar="USER/REPO", help="upload the finished refiner")
    parser.add_argument("--private", action="store_true", default=None, help="make a new repository private")
    arguments = parser.parse_args()
    try:
        run(arguments)
    except ModuleNotFoundError as error:
        parser.exit(1, f"error: {error.name} is missing: pip install 'facesep[train,refine]'\n")
    except FaceSepError as error:
        parser.exit(1, f"error: {error}\n")


def run(arguments: argparse.Namespace) -> None:
    """Builds the pairs and the trainer, runs it and writes the refiner."""
    from facesep.data.shards import ShardSet
    from facesep.environment import command, commit
    from facesep.model import FaceSep
    from facesep.training.refiner.config import load_refiner_config
    from facesep.training.refiner.loop import VALIDATION, RefinerTrainer
    from facesep.training.refiner.pairs import Pairs, describe

    config = load_refiner_config(arguments.config, arguments.set)
    about = {"data": describe(arguments.shards), "command": command(sys.argv), "commit": commit()}
    about |= read(arguments.about) if arguments.about else {}
    sep = None
    if arguments.checkpoint:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        sep = FaceSep.from_pretrained(arguments.checkpoint, device=device)
    for_pairs = sep if config.estimator.depths else None  # the diffusion network learns from photos alone
    pairs = Pairs(arguments.shards, "train", config.size, for_pairs, progress)
    known = len(ShardSet(arguments.shards, "val")) > 0  # else there is nothing to measure on
    val = Pairs(arguments.shards, "val", config.size, sep, limit=VALIDATION) if known else None
    trainer = RefinerTrainer(config, pairs, arguments.out, val)
    if arguments.resume_from_checkpoint:
        latest = arguments.resume_from_checkpoint == "latest"
        trainer.resume(None if latest else arguments.resume_from_checkpoint)
    trainer.run()
    if trainer.accelerator.is_main_process:
        refiner = trainer.refiner(about | {"run": to_dict(config)})
        refiner.save_pretrained(Path(arguments.out) / "refiner")
        if arguments.push_to_hub:
            print(refiner.push_to_hub(arguments.push_to_hub, private=arguments.private))


def read(path: str) -> dict:
    """The JSON object of ``--about``."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a JSON object")
    return value


def progress(done: int, total: int) -> None:
    """Says now and then how many photos are read."""
    if done % 200 == 0 or done == total:
        print(f"{done}/{total} photos", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
