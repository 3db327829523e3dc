"""A contact sheet: photos, renders, single-attribute transfers and other views.

Example:
    python eval/sheet.py --shards data/portraits --split val --out docs/images/sheet.jpg
"""

from __future__ import annotations

import argparse
import sys

from facesep import FaceSep
from facesep.data.heads import ShardPhotos
from facesep.evaluation import options, sheet
from facesep.evaluation.script import new_parser, progress, run_script
from facesep.provenance import write_image


def main() -> int:
    """Parses the arguments and draws the sheet."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser)
    options.add_shards(parser)
    parser.add_argument("--people", type=int, default=8, help="rows, when no names are given")
    parser.add_argument("--names", help="exactly these photos, separated by commas")
    parser.add_argument("--cell", type=int, default=128, help="side of a picture in pixels")
    options.add_device(parser)
    parser.add_argument("--out", required=True, help="a .jpg or .png file")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Draws the sheet."""
    sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
    names = args.names.split(",") if args.names else None
    photos = sheet.choose(ShardPhotos(args.shards, args.split, sep.image_size), args.people, names)
    rows = sheet.strips(sep, photos, on_row=lambda done: progress(done, len(photos)))
    write_image(sheet.contact_sheet(rows, sheet.credits_of(photos), args.cell), args.out, quality=90)
    print("rows:", ", ".join(photo.name for photo in photos))


if __name__ == "__main__":
    sys.exit(main())
