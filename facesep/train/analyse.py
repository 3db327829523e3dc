"""Shards -> labels that pretrain the heads: ``python train/analyse.py SHARDS --morphable M --identity I``."""

from __future__ import annotations

import argparse

import torch

from facesep.analysis.analyse import analyse
from facesep.analysis.morphable import MorphableModel
from facesep.data.shards import ShardSet
from facesep.nets.official.mobilefacenet import MobileFaceNet
from facesep.training.script import new_parser, run_script


def main() -> None:
    """Parses the arguments and runs the analysis."""
    parser = new_parser(__doc__)
    parser.add_argument("shards", help="folder written by train/prepare_data.py, with landmarks")
    parser.add_argument("--morphable", required=True, help="the compact ICT face model (.npz)")
    parser.add_argument("--identity", required=True, help="MobileFaceNet weights (.safetensors)")
    parser.add_argument("--out", required=True, help="the label file to write (.safetensors)")
    run_script(parser, run, status=2)


def run(args: argparse.Namespace) -> None:
    """Labels the photos and says how well the landmarks fit."""
    labels = analyse(
        ShardSet(args.shards),
        MorphableModel.load(args.morphable),
        MobileFaceNet.load(args.identity),
        progress=_progress,
    )
    labels.save(args.out)
    rms = labels.rms
    eyes = 57.0  # pixels between the irises of a mean face at 256
    print(
        f"{len(rms)} photos labelled; inner landmarks off by {rms.mean():.2f} px at 256 "
        f"({100 * rms.mean() / eyes:.1f} % of the interocular distance), "
        f"95 % of them below {torch.quantile(rms, 0.95):.2f} px"
    )


def _progress(stage: str, done: int, total: int) -> None:
    print(f"{stage} {done}/{total}", flush=True)


if __name__ == "__main__":
    main()
