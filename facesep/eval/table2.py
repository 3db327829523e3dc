"""Methods side by side by the paper's measures: LPIPS, L1, SSIM, IC, AED, ATD, AID, APD (Table 2).

Examples:
    python eval/table2.py --shards data/portraits --lpips-weights alexnet.pth --out eval.json
    torchrun --nproc_per_node 2 eval/table2.py --shards data/portraits --work work
"""

from __future__ import annotations

import argparse
import sys

from facesep.evaluation import options, paper, quality
from facesep.evaluation.runner import new_parser, run_script


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add_checkpoints(parser)
    options.add_data(parser)
    options.add_measures(parser)
    options.add(parser, *options.RENDERS)
    parser.add_argument(
        "--by", default="set", help="label of the photos for a second table; 'none' leaves it out"
    )
    options.add_run(parser)
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    checkpoints = options.named(args.checkpoint)
    quality.report(
        args,
        checkpoints,
        "table2",
        belongs_to=next(iter(checkpoints.values())),
        title="Table 2: reconstruction",
        paper=paper.TABLE_2,
        label="method",
        by=None if args.by == "none" else args.by,
    )


if __name__ == "__main__":
    sys.exit(main())
