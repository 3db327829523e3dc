"""A page of unselected faces: transfers of each attribute, seven views, turning heads.

Example:
    python eval/gallery.py --shards data/portraits --split val --out docs/gallery.md
"""

from __future__ import annotations

import argparse
import sys

from facesep import FaceSep
from facesep.data.heads import ShardPhotos
from facesep.environment import command
from facesep.evaluation import options, sheet
from facesep.evaluation.gallery import write_gallery
from facesep.evaluation.script import new_parser, progress, run_script


def main() -> int:
    """Parses the arguments and writes the page."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser)
    options.add_shards(parser)
    parser.add_argument("--people", type=int, default=16, help="rows")
    parser.add_argument("--videos", type=int, default=4, help="how many of them turn in a video")
    parser.add_argument("--frames", type=int, default=60, help="frames of a video")
    options.add_device(parser)
    parser.add_argument("--out", required=True, help="a .md file; pictures go to images/ beside it")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Writes the page."""
    sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
    photos = sheet.first(ShardPhotos(args.shards, args.split, sep.image_size), args.people)
    page = write_gallery(
        sep,
        photos,
        args.out,
        command(sys.argv),
        args.split,
        args.videos,
        args.frames,
        on_row=lambda done: progress(done, len(photos)),
    )
    print(f"{page}: {', '.join(photo.name for photo in photos)}")


if __name__ == "__main__":
    sys.exit(main())
