"""Whether a transferred expression moves the mouth towards the donor's, on people with two expressions.

Examples:
    python eval/expression.py --shards data/portraits --split val --out eval.json
"""

from __future__ import annotations

import argparse
import sys

from facesep.errors import DataError
from facesep.evaluation import expression, options
from facesep.evaluation.mouth import ExternalTool, FivePoints
from facesep.evaluation.report import table
from facesep.evaluation.runner import finish, new_parser, progress, run_script


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add(parser, "shards", required=True)
    options.add(parser, "split")
    parser.add_argument(
        "--landmarks",
        metavar="COMMAND",
        help="measure with another tool, called as COMMAND FOLDER OUT.npz (docs/evaluation.md)",
    )
    parser.add_argument("--landmarks-name", default="MediaPipe face mesh", help="what to call that tool")
    parser.add_argument("--limit", type=int, help="only so many people, for a quick look")
    options.add(parser, "seed", "fit", "device", "out")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    tool = ExternalTool(args.landmarks, args.landmarks_name) if args.landmarks else FivePoints()
    sep, photos = options.open_shards(args, limited=False)
    pairs = expression.pairs(photos)[: args.limit]
    if not pairs:
        raise DataError(f"nobody in {args.shards} has both a neutral and a smiling photo ({args.split})")
    pictures = expression.transfers(sep, pairs, args.fit, lambda done: progress(done, len(pairs), "people"))
    summaries, wider = expression.summarise(pictures, tool, args.seed)
    title = f"Expression transfer by {tool.name} ({args.split})"
    note = f"{len(pairs)} people. " + expression.NOTE.format(tool=tool.name)
    results = {one.direction: one for one in summaries}
    rows = expression.rows(summaries, wider)
    finish(args, args.checkpoint, [table(title, rows, note, results, device=args.device)])


if __name__ == "__main__":
    sys.exit(main())
