"""Trains, packs and measures the bundled face detector.

    python train/detector.py sources  --portraits DIR --work DIR
    python train/detector.py scenes   --work DIR [--pictures DIR] [--shards 15]
    python train/detector.py finder   --work DIR
    python train/detector.py pointer  --work DIR [--pictures DIR]
    python train/detector.py pack     --work DIR
    python train/detector.py evaluate --portraits DIR [--backgrounds DIR ...]
    python train/detector.py named    --portraits DIR

Every step goes on where it was stopped. Threads: set OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facesep.training.face_detector.steps import STEPS, run


def main() -> None:
    """Parses the command line and runs one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--portraits", type=Path, help="annotated portraits (index.csv, landmarks.npz)")
    parser.add_argument("--work", type=Path, help="folder for everything in between")
    parser.add_argument("--pictures", type=Path, help="pictures without faces, for training")
    parser.add_argument("--backgrounds", type=Path, nargs="*", default=[], help="the same, for evaluation")
    parser.add_argument("--views", type=int, default=3200, help="synthetic views of turned heads")
    parser.add_argument("--shards", type=int, default=15, help="shards of scenes")
    parser.add_argument("--scenes", type=int, default=1000, help="scenes in a shard")
    parser.add_argument("--empty", type=int, default=3000, help="pictures searched for false alarms")
    parser.add_argument("--steps", type=int, help="batches (finder: 24 scenes, pointer: 64 faces)")
    parser.add_argument(
        "--out", type=Path, help="evaluate: a JSON file; pack: a folder (default: the package)"
    )
    options = parser.parse_args()
    if options.step not in ("evaluate", "named") and options.work is None:
        parser.error("--work is needed")
    if options.step in ("sources", "evaluate", "named") and options.portraits is None:
        parser.error("--portraits is needed")
    print(run(options))


if __name__ == "__main__":
    main()
