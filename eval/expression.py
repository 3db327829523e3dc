"""Whether a transferred expression moves the mouth towards the donor's, on people with two expressions.

Example:
    python eval/expression.py --shards data/portraits --split val --out eval.json
"""

from __future__ import annotations

import argparse
import sys

from facesep import FaceSep, FaceSepError
from facesep.errors import DataError
from facesep.evaluation import expression
from facesep.evaluation.mouth import ExternalTool, FivePoints
from facesep.evaluation.photos import EvaluationPhotos
from facesep.evaluation.report import markdown, table, write_report


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", help="folder or Hub repository; the bundled one by default")
    parser.add_argument("--shards", required=True, help="folder written by train/prepare_data.py")
    parser.add_argument("--split", default="val", choices=("train", "val", "test"))
    parser.add_argument(
        "--landmarks",
        metavar="COMMAND",
        help="measure with another tool, called as COMMAND FOLDER OUT.npz (docs/evaluation.md)",
    )
    parser.add_argument("--landmarks-name", default="MediaPipe face mesh", help="what to call that tool")
    parser.add_argument("--limit", type=int, help="only so many people, for a quick look")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="eval.json to write or to add to")
    args = parser.parse_args()
    try:
        run(args)
    except FaceSepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    tool = ExternalTool(args.landmarks, args.landmarks_name) if args.landmarks else FivePoints()
    sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
    pairs = expression.pairs(EvaluationPhotos(args.shards, args.split, sep.image_size))[: args.limit]
    if not pairs:
        raise DataError(f"nobody in {args.shards} has both a neutral and a smiling photo ({args.split})")
    pictures = expression.transfers(sep, pairs, on_pair=lambda done: progress(done, len(pairs)))
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
    if args.out:
        write_report(args.out, args.checkpoint, tables)
    print(markdown(tables))


def progress(done: int, total: int) -> None:
    """Says how far it is."""
    print(f"{done}/{total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
