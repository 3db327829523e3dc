"""What one edit on the demo page costs the server: rendering, marking and writing the picture.

Seconds are those of one core, so other work on the machine does not count.

Examples:
    python eval/edits.py
    python eval/edits.py --preset small   # random weights, at the size of the preset
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch

from facesep import FaceSep
from facesep.config import PRESETS, preset
from facesep.demo import actions, photos
from facesep.demo.examples import FOLDER
from facesep.evaluation.bench.rounds import time_rounds
from facesep.evaluation.runner import new_parser, run_script
from facesep.moves import Direction, move


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    parser.add_argument("--checkpoint", help="a folder or user/repo[@revision]; default: the bundled one")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="random weights instead of a checkpoint")
    parser.add_argument("--edits", type=int, default=8, help="how many are measured")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and prints."""
    torch.set_num_threads(1)
    sep = FaceSep(preset(args.preset)) if args.preset else FaceSep.from_pretrained(args.checkpoint)
    start = time.process_time()
    subject = photos.read(sep, sorted(FOLDER.glob("*.jpg"))[0])
    reading = time.process_time() - start
    direction = Direction("expression", "a move", torch.full((64,), 0.1), torch.zeros(64))
    edits = {
        number: lambda n=number: actions.picture(sep, move(subject.codes, {direction: 0.1 * n}))
        for number in range(args.edits)
    }
    taken = [timing.cpu[0] for timing in time_rounds(edits, 1, "cpu").values()]
    edit = f"{statistics.median(taken):.3f} s for an edit (at most {max(taken):.3f} s)"
    print(f"{sep.image_size} px: {edit}, {reading:.2f} s to read a photo")


if __name__ == "__main__":
    sys.exit(main())
