"""The reader alone: images a second from shards, without any training.

Training is not held up by its data as long as this is well above the ``images_per_second`` of its log.

Examples:
    python eval/reader.py --shards data/ffhq/small --size 256 --threads 4
"""

from __future__ import annotations

import argparse
import sys

from facesep.environment import hardware
from facesep.evaluation.runner import new_parser, run_script
from facesep.training.dataset import TrainingSet
from facesep.training.reading import measure


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    parser.add_argument("--shards", required=True, help="folder written by train/prepare_data.py")
    parser.add_argument("--labels", help="file written by train/analyse.py")
    parser.add_argument("--split", default="train")
    parser.add_argument("--size", type=int, default=256, help="side of the images")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--threads", type=int, help="that read ahead; the loader's own choice by default")
    parser.add_argument("--in-memory", action="store_true", help="keep all photos in memory")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures."""
    data = TrainingSet(args.shards, args.labels, args.split, args.size, args.in_memory)
    found = measure(data, args.size, args.batch_size, args.batches, args.threads)
    where = "in memory" if args.in_memory else f"from shards of {data.source.size} px"
    print(f"reader alone: {found.speed:.1f} images/s ({found.images} images in {found.seconds:.1f} s)")
    print(f"{len(data.ids)} photos {where}, given at {args.size} px in batches of {args.batch_size}")
    print(f"peak memory of the process {found.peak_memory / 2**20:.0f} MiB; {hardware()}")


if __name__ == "__main__":
    sys.exit(main())
