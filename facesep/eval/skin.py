"""Does skin keep its tone when the light is exchanged? Shares of texture and illumination in both.

Example:
    python eval/skin.py --shards data/portraits --without gsa_18f --out eval.json
"""

from __future__ import annotations

import argparse
import sys

from facesep.evaluation import options, skin
from facesep.evaluation.report import table
from facesep.evaluation.runner import finish, new_parser, progress, run_script


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add(parser, "shards", required=True)
    options.add(parser, "split")
    parser.add_argument(
        "--studio",
        nargs="+",
        default=["london_frl", "uk_mps"],
        metavar="SET",
        help="sets in which everyone has the same light",
    )
    parser.add_argument("--count", type=int, default=4, help="darkest and lightest people of a set")
    options.add(parser, "without")
    options.add(parser, "limit", help="relit photos, and pairs of photos of one person", default=40)
    options.add(parser, "seed", "device", "out")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    sep, photos = options.open_shards(args, limited=False)
    faces = skin.Faces(sep, photos, args.without)
    tone, light = skin.measure(faces, args.studio, args.count, args.limit, args.seed, progress)
    about = {"split": args.split, "count": args.count, "cells": skin.CELLS}
    about |= {name: one["photos"] for name, one in zip(("photos", "pairs"), light.values(), strict=False)}
    notes = (skin.TONE_NOTE.format(**about), skin.LIGHT_NOTE.format(**{"pairs": 0} | about))
    titles = ("Skin tone by code", "Light by code")
    tables = [
        table(f"{title} ({args.split} crops)", skin.rows(found), note, found, device=args.device)
        for title, found, note in zip(titles, (tone, light), notes, strict=True)
    ]
    finish(args, args.checkpoint, tables)


if __name__ == "__main__":
    sys.exit(main())
