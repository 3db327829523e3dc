"""Trains the Finish network of a checkpoint, which completes what photos do not show.

    python train/finish.py prepare --portraits DIR --work DIR --without gsa_18f
    python train/finish.py train   --work DIR --perceptual st_vgg.safetensors --minutes 60
    python train/finish.py pack    --work DIR --checkpoint FOLDER

``prepare`` writes pairs of drafts and photos: each photo moved away by the checkpoint's photo detail, taken
for a photo and moved back. ``pack`` adds the averaged weights to a checkpoint as ``finish/``. Every step goes
on where it was stopped; training counts its own minutes alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file

from facesep.checkpoint import add_part
from facesep.errors import FaceSepError
from facesep.model import FaceSep
from facesep.training.finish.pairs import prepare
from facesep.training.finish.training import FinishTraining
from facesep.training.script import Progress


def main() -> None:
    """Parses the command line and runs one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("prepare", "train", "pack"))
    parser.add_argument("--work", type=Path, required=True, help="folder for everything in between")
    parser.add_argument("--portraits", type=Path, help="prepare: folder with index.csv and landmarks.npz")
    parser.add_argument(
        "--checkpoint", help="whose photo detail it finishes, the bundled one by default; pack: a folder"
    )
    parser.add_argument("--without", nargs="*", default=[], metavar="SET", help="sets that are left out")
    parser.add_argument("--pairs", type=int, default=1500, help="prepare: of the train split")
    parser.add_argument("--val", type=int, default=120, help="prepare: of the val split")
    parser.add_argument("--perceptual", help="train: ST-LPIPS's VGG file; without it that loss is left out")
    parser.add_argument("--minutes", type=float, default=60, help="train: in all")
    options = parser.parse_args()
    try:
        run(parser, options)
    except FaceSepError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{options.step}: done")


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Runs the step that the arguments name."""
    if options.step == "prepare":
        if options.portraits is None:
            parser.error("--portraits is needed")
        sep = FaceSep.from_pretrained(options.checkpoint)
        for split, count in (("val", options.val), ("train", options.pairs)):
            prepare(sep, options.portraits, options.work, split, count, options.without, Progress("pairs"))
    elif options.step == "train":
        FinishTraining(options.work, options.minutes, options.perceptual).run()
    else:
        if options.checkpoint is None:
            parser.error("--checkpoint is needed")
        add_part(options.checkpoint, "finish", load_file(options.work / "finish.safetensors"), torch.float16)


if __name__ == "__main__":
    main()
