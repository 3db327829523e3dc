"""Trains the bundled face parser.

    python train/parsing.py samples --portraits DIR --work DIR
    python train/parsing.py train   --work DIR --minutes 71
    python train/parsing.py pack    --work DIR [--out DIR]

Every step goes on where it was stopped; training counts its own minutes alone. Threads: set OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import facesep
from facesep.nets.face_parser import CLASSES
from facesep.training.face_detector.training import pack
from facesep.training.face_parser.samples import prepare
from facesep.training.face_parser.training import ParserTraining


def main() -> None:
    """Parses the command line and runs one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("samples", "train", "pack"))
    parser.add_argument("--portraits", type=Path, help="annotated portraits (index.csv, landmarks.npz)")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything in between")
    parser.add_argument("--turned", type=int, default=450, help="synthetic views of turned heads")
    parser.add_argument("--backgrounds", type=int, default=800, help="pictures without a head")
    parser.add_argument("--minutes", type=float, default=71, help="of training in all")
    parser.add_argument("--out", type=Path, help="pack: a folder (default: the package)")
    options = parser.parse_args()
    if options.step == "samples":
        if options.portraits is None:
            parser.error("--portraits is needed")
        prepare(options.portraits, options.work, options.turned, options.backgrounds)
    elif options.step == "train":
        ParserTraining(options.work, options.minutes).run()
    else:
        target = options.out or Path(facesep.__file__).parent / "assets" / "parser"
        pack(options.work / "parser.safetensors", target, {"classes": ",".join(CLASSES)})
    print(f"{options.step}: done")


if __name__ == "__main__":
    main()
