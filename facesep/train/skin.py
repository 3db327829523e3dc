"""Moves the tone of skin from the illumination code of a checkpoint into its texture code; a closed form.

The result renders every photo as before: decoder and encoder agree on another basis of these two codes. It is
the last step of a training: ``train/em.py --init`` undoes it.

Example:
    python train/skin.py runs/last/checkpoint --shards data/portraits --out runs/skin/checkpoint
"""

from __future__ import annotations

import argparse

from facesep.data.heads import ShardPhotos
from facesep.model import FaceSep
from facesep.training.script import Progress, new_parser, run_script
from facesep.training.skin import Weights, fit_skin, read_samples, without_skin


def main() -> None:
    """Parses arguments, fits and writes."""
    parser = new_parser(__doc__, "shards")
    parser.add_argument("checkpoint", help="folder of a checkpoint with light heads")
    parser.add_argument(
        "--studio",
        nargs="+",
        default=["london_frl", "uk_mps"],
        metavar="SET",
        help="sets in which everyone has the same lamps",
    )
    parser.add_argument("--without", nargs="*", default=[], metavar="SET", help="sets that are left out")
    parser.add_argument("--relit", type=int, default=160, help="photos that are relit")
    parser.add_argument(
        "--weights", nargs=3, type=float, metavar=("RELIT", "PERSON", "RIDGE"), help="of the terms"
    )
    parser.add_argument("--out", required=True, help="folder of the new checkpoint")
    run_script(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Fits and writes."""
    sep = FaceSep.from_pretrained(arguments.checkpoint)
    photos = ShardPhotos(arguments.shards, "train", sep.image_size)
    samples = read_samples(sep, photos, arguments.studio, arguments.relit, set(arguments.without), Progress())
    weight = fit_skin(samples, Weights(*arguments.weights or ()))
    without_skin(sep, weight).save_pretrained(arguments.out)
    counts = [*map(len, samples.sessions), len(samples.relit), len(samples.person)]
    names = [*arguments.studio, "relit copies", "pairs of photos of one person"]
    print(f"wrote {arguments.out}: {', '.join(f'{n} {name}' for n, name in zip(counts, names, strict=True))}")


if __name__ == "__main__":
    main()
