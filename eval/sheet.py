"""A contact sheet: photos, renders, single-attribute transfers and other views.

Example:
    python eval/sheet.py --shards data/portraits --split val --out docs/images/sheet.jpg
"""

from __future__ import annotations

import argparse
import sys

from facesep import FaceSep, FaceSepError
from facesep.evaluation import sheet
from facesep.evaluation.photos import EvaluationPhotos
from facesep.provenance import write_image


def main() -> int:
    """Parses the arguments and draws the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", help="folder or Hub repository; the bundled one by default")
    parser.add_argument("--shards", required=True, help="folder written by train/prepare_data.py")
    parser.add_argument("--split", default="val", choices=("train", "val", "test"))
    parser.add_argument("--people", type=int, default=8, help="rows, when no names are given")
    parser.add_argument("--names", help="exactly these photos, separated by commas")
    parser.add_argument("--cell", type=int, default=128, help="side of a picture in pixels")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", required=True, help="a .jpg or .png file")
    args = parser.parse_args()
    try:
        sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
        names = args.names.split(",") if args.names else None
        photos = sheet.choose(EvaluationPhotos(args.shards, args.split, sep.image_size), args.people, names)
        rows = sheet.strips(sep, photos, on_row=lambda done: print(f"{done}/{len(photos)}", file=sys.stderr))
        write_image(sheet.contact_sheet(rows, sheet.credits_of(photos), args.cell), args.out, quality=90)
    except FaceSepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("rows:", ", ".join(photo.name for photo in photos))
    return 0


if __name__ == "__main__":
    sys.exit(main())
