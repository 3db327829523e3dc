"""Whether transferred hair looks like the donor's: overlap of hair masks by a tool behind a command.

Examples:
    python eval/hair.py --shards data/portraits --masks "python hair_masks.py" --out eval.json
"""

from __future__ import annotations

import argparse
import sys

from facesep.evaluation import hair, options
from facesep.evaluation.encoded import encode_all
from facesep.evaluation.report import table
from facesep.evaluation.runner import finish, new_parser, progress, run_script


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add(parser, "shards", required=True)
    options.add(parser, "split")
    parser.add_argument(
        "--masks",
        required=True,
        metavar="COMMAND",
        help="the tool, called as COMMAND FOLDER OUT.npz (docs/evaluation.md)",
    )
    parser.add_argument("--masks-name", default="PrismaNet", help="what to call that tool")
    options.add(parser, "limit", "seed", "fit", "device", "out")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    sep, photos = options.open_shards(args)
    encoded = encode_all(sep, photos, steps=args.fit)
    found = hair.measure(sep, encoded, args.masks, args.seed, on_photo=progress)
    summary = hair.summarise(found, encoded.people, args.seed)
    note = hair.NOTE.format(
        photos=len(encoded.people),
        people=len(set(encoded.people)),
        split=args.split,
        seed=args.seed,
        tool=args.masks_name,
        different=hair.DIFFERENT,
    )
    title = f"Hair transfer by {args.masks_name} ({args.split} crops)"
    finish(args, args.checkpoint, [table(title, hair.rows(summary), note, summary, device=args.device)])


if __name__ == "__main__":
    sys.exit(main())
