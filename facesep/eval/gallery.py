"""A page of unselected faces: transfers of each attribute, seven views, turning heads.

Examples:
    python eval/gallery.py --shards data/portraits --photos PORTRAITS --split val --out docs/gallery.md
"""

from __future__ import annotations

import argparse
import sys

from facesep.environment import command
from facesep.evaluation import gallery, options, sheet
from facesep.evaluation.runner import new_parser, progress, run_script


def main() -> int:
    """Parses the arguments and writes the page."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add(parser, "shards", required=True)
    options.add(parser, "split")
    options.add(parser, "photos", help="folder with the originals: adds photo detail")
    parser.add_argument("--people", type=int, default=16, help="rows")
    parser.add_argument("--videos", type=int, default=4, help="how many of them turn in a video")
    parser.add_argument("--frames", type=int, default=60, help="frames of a video")
    options.add(parser, "device")
    parser.add_argument("--out", required=True, help="a .md file; pictures go to images/ beside it")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Writes the page."""
    sep, photos = options.open_shards(args)
    chosen = sheet.first(photos, args.people)
    shown = (command(sys.argv), args.split, args.videos, args.frames)
    on_row = lambda done: progress(done, len(chosen))  # noqa: E731
    page = gallery.write_gallery(sep, chosen, args.out, *shown, on_row, args.photos)
    print(f"{page}: {', '.join(photo.name for photo in chosen)}")


if __name__ == "__main__":
    sys.exit(main())
