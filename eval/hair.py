"""Whether transferred hair looks like the donor's: overlap of hair masks by a tool behind a command.

Example:
    python eval/hair.py --shards data/portraits --masks "python hair_masks.py" --out eval.json
"""

from __future__ import annotations

import argparse
import sys

from facesep import FaceSep
from facesep.data.heads import ShardPhotos
from facesep.evaluation import hair, options
from facesep.evaluation.encoded import encode_all
from facesep.evaluation.report import table
from facesep.evaluation.script import finish, new_parser, progress, run_script


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser)
    options.add_shards(parser)
    parser.add_argument(
        "--masks",
        required=True,
        metavar="COMMAND",
        help="the tool, called as COMMAND FOLDER OUT.npz (docs/evaluation.md)",
    )
    parser.add_argument("--masks-name", default="PrismaNet", help="what to call that tool")
    parser.add_argument("--limit", type=int, help="only so many photos, taken evenly")
    parser.add_argument("--seed", type=int, default=0, help="of the donors and of the bootstrap")
    options.add_fit(parser)
    options.add_device(parser)
    options.add_out(parser)
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
    photos = ShardPhotos(args.shards, args.split, sep.image_size, limit=args.limit)
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
