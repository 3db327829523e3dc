"""Trains a refiner: ``accelerate launch train/refiner.py --config refiner``.

Examples:
    python train/refiner.py --config refiner --shards data/portraits --out runs/refiner
    python train/refiner.py ... --checkpoint user/repo       pairs of render and photo, too
    python train/refiner.py ... --resume_from_checkpoint latest

Needs torch, accelerate and diffusers: pip install "facesep[train,refine]".
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from facesep.config import to_dict
from facesep.data.shards import ShardSet
from facesep.environment import command, commit
from facesep.errors import FaceSepError
from facesep.model import FaceSep
from facesep.training.export import read_record
from facesep.training.refiner.config import load_refiner_config
from facesep.training.refiner.loop import VALIDATION, RefinerTrainer
from facesep.training.refiner.pairs import Pairs, describe
from facesep.training.script import Progress, new_parser, resumed, run_script


def main() -> None:
    """Parses arguments and trains."""
    common = ("config", "set", "shards", "out", "resume_from_checkpoint", "private")
    parser = new_parser(__doc__, *common)
    parser.add_argument("--checkpoint", help="folder or user/repo: pairs of its renders and photos, too")
    parser.add_argument("--about", help="JSON for the card: license, summary, data")
    parser.add_argument("--push_to_hub", metavar="USER/REPO", help="upload the finished refiner")
    run_script(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Builds the pairs and the trainer, runs it and writes the refiner."""
    config = load_refiner_config(arguments.config, arguments.set)
    about = {"data": describe(arguments.shards), "command": command(sys.argv), "commit": commit()}
    about |= read_record(arguments.about) if arguments.about else {}
    sep = None
    if arguments.checkpoint:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        sep = FaceSep.from_pretrained(arguments.checkpoint, device=device)
    for_pairs = sep if config.estimator.depths else None  # the diffusion network learns from photos alone
    pairs = Pairs(arguments.shards, "train", config.size, for_pairs, Progress())
    known = len(ShardSet(arguments.shards, "val")) > 0  # else there is nothing to measure on
    val = Pairs(arguments.shards, "val", config.size, sep, limit=VALIDATION) if known else None
    try:
        trainer = RefinerTrainer(config, pairs, arguments.out, val, bar=True)
    except ModuleNotFoundError as error:
        raise FaceSepError(f"{error.name} is missing: pip install 'facesep[train,refine]'") from error
    if arguments.resume_from_checkpoint:
        trainer.resume(resumed(arguments.resume_from_checkpoint))
    trainer.run()
    if trainer.processes.first:
        refiner = trainer.refiner(about | {"run": to_dict(config)})
        refiner.save_pretrained(Path(arguments.out) / "refiner")
        if arguments.push_to_hub:
            print(refiner.push_to_hub(arguments.push_to_hub, private=arguments.private))


if __name__ == "__main__":
    main()
