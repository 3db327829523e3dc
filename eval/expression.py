"""Whether a transferred expression moves the mouth towards the donor's, on people with two expressions.

Example:
    python eval/expression.py --shards data/portraits --split val --out eval.json
"""

from __future__ import annotations

import argparse
import sys

from facesep import FaceSep
from facesep.data.heads import ShardPhotos
from facesep.errors import DataError
from facesep.evaluation import expression, options
from facesep.evaluation.mouth import ExternalTool, FivePoints
from facesep.evaluation.report import table
from facesep.evaluation.script import finish, new_parser, progress, run_script


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser)
    options.add_shards(parser)
    parser.add_argument(
        "--landmarks",
        metavar="COMMAND",
        help="measure with another tool, called as COMMAND FOLDER OUT.npz (docs/evaluation.md)",
    )
    parser.add_argument("--landmarks-name", default="MediaPipe face mesh", help="what to call that tool")
    parser.add_argument("--limit", type=int, help="only so many people, for a quick look")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    options.add_fit(parser)
    options.add_device(parser)
    options.add_out(parser)
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    tool = ExternalTool(args.landmarks, args.landmarks_name) if args.landmarks else FivePoints()
    sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
    pairs = expression.pairs(ShardPhotos(args.shards, args.split, sep.image_size))[: args.limit]
    if not pairs:
        raise DataError(f"nobody in {args.shards} has both a neutral and a smiling photo ({args.split})")
    pictures = expression.transfers(sep, pairs, args.fit, lambda done: progress(done, len(pairs), "people"))
    summaries, photos = expression.summarise(pictures, tool, args.seed)
    tables = [
        table(
            f"Expression transfer by {tool.name} ({args.split})",
            expression.rows(summaries, photos),
            f"{len(pairs)} people. " + expression.NOTE.format(tool=tool.name),
            {one.direction: one for one in summaries},
            device=args.device,
        )
    ]
    finish(args, args.checkpoint, tables)


if __name__ == "__main__":
    sys.exit(main())
