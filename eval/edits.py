"""What one edit on the demo page costs the server: rendering, marking and writing the picture.

Seconds are those of one core, so other work on the machine does not count.

Example:
    python eval/edits.py
    python eval/edits.py --preset small   # random weights, at the size of the preset
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch

from facesep import FaceSep, FaceSepError
from facesep.config import PRESETS, preset
from facesep.demo import actions, photos
from facesep.demo.directions import Direction, move
from facesep.demo.examples import FOLDER


def main() -> int:
    """Parses the arguments, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", help="a folder or user/repo[@revision]; default: the bundled one")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="random weights instead of a checkpoint")
    parser.add_argument("--edits", type=int, default=8, help="how many are measured")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        sep = FaceSep(preset(args.preset)) if args.preset else FaceSep.from_pretrained(args.checkpoint)
    except FaceSepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    start = time.process_time()
    subject = photos.read(sep, sorted(FOLDER.glob("*.jpg"))[0])
    reading = time.process_time() - start
    direction = Direction("expression", "a move", torch.full((64,), 0.1), torch.zeros(64))
    taken = []
    for number in range(args.edits):
        start = time.process_time()
        actions.picture(sep, move(subject.codes, {direction: 0.1 * number}))
        taken.append(time.process_time() - start)
    print(
        f"{sep.image_size} px: {statistics.median(taken):.3f} s for an edit (at most {max(taken):.3f} s), ",
        end="",
    )
    print(f"{reading:.2f} s to read a photo")
    return 0


if __name__ == "__main__":
    sys.exit(main())
