"""What one edit on the demo page costs the server, and what the moves of a checkpoint look like.

An edit is rendering, marking and writing the picture. Seconds are those of one core, so other work on the
machine does not count. The sheet shows people as they are, and each move by -2 and +2 with photo detail.

Examples:
    python eval/edits.py
    python eval/edits.py --preset small   # random weights, at the size of the preset
    python eval/edits.py --sheet moves.jpg
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from facesep import FaceSep, save
from facesep.config import PRESETS, preset
from facesep.demo import actions, photos
from facesep.demo.examples import FOLDER
from facesep.evaluation.bench.rounds import time_rounds
from facesep.evaluation.runner import new_parser, run_script
from facesep.moves import Direction, move

SIDE, TITLE = 192, 230


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    parser.add_argument("--checkpoint", help="a folder or user/repo[@revision]; default: the bundled one")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="random weights instead of a checkpoint")
    parser.add_argument("--edits", type=int, default=8, help="how many are measured")
    parser.add_argument("--sheet", help="picture to write of the moves, instead of timings")
    parser.add_argument(
        "--photos", nargs="+", help="of the people on it; default: those that come with facesep"
    )
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and prints."""
    torch.set_num_threads(1)
    sep = FaceSep(preset(args.preset)) if args.preset else FaceSep.from_pretrained(args.checkpoint)
    if args.sheet:
        save(sheet(sep, args.photos or sorted(FOLDER.glob("*.jpg"))), args.sheet)
        return
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


def sheet(sep: FaceSep, photos: Sequence[str | Path]) -> Image.Image:
    """One row of people as they are, then one of each move by -2 and +2."""
    people = [sep.portrait(photo, keep=False) for photo in photos]
    rows = [("", [each for one in people for each in (sep.render(one, size=SIDE), None)])]
    for found in sep.moves():
        sides = [move(one, {found: amount}) for one in people for amount in (-2.0, 2.0)]
        rows.append((found.name, [sep.render(one, size=SIDE) for one in sides]))
    page = Image.new("RGB", (TITLE + 2 * SIDE * len(people), SIDE * len(rows)), "white")
    draw = ImageDraw.Draw(page)
    for row, (name, pictures) in enumerate(rows):
        draw.text((8, SIDE * row + SIDE // 2), name, fill="black", font_size=16)
        for column, picture in enumerate(pictures):
            if picture is not None:
                page.paste(picture, (TITLE + SIDE * column, SIDE * row))
    return page


if __name__ == "__main__":
    sys.exit(main())
