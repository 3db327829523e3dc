"""A contact sheet: photos, renders, single-attribute transfers and other views.

Examples:
    python eval/sheet.py --shards data/portraits --split val --out docs/images/sheet.jpg
"""

from __future__ import annotations

import argparse
import sys

from facesep.evaluation import figures, options, sheet
from facesep.evaluation.runner import new_parser, progress, run_script
from facesep.provenance import write_image


def main() -> int:
    """Parses the arguments and draws the sheet."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add(parser, "shards", required=True)
    options.add(parser, "split")
    parser.add_argument("--people", type=int, default=8, help="rows, when no names are given")
    parser.add_argument("--names", help="exactly these photos, separated by commas")
    parser.add_argument("--cell", type=int, default=128, help="side of a picture in pixels")
    options.add(parser, "device")
    parser.add_argument("--out", required=True, help="a .jpg or .png file")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Draws the sheet."""
    sep, photos = options.open_shards(args)
    chosen = sheet.choose(photos, args.people, args.names.split(",") if args.names else None)
    rows = figures.strips(sep, chosen, on_row=lambda done: progress(done, len(chosen)))
    write_image(sheet.contact_sheet(rows, sheet.credits_of(chosen), args.cell), args.out, quality=90)
    print("rows:", ", ".join(photo.name for photo in chosen))


if __name__ == "__main__":
    sys.exit(main())
