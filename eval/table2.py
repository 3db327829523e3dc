"""Methods side by side by the paper's measures: LPIPS, L1, SSIM, IC, AED, ATD, AID, APD (Table 2).

Example:
    python eval/table2.py --shards data/portraits --lpips-weights alexnet.pth --out eval.json
    torchrun --nproc_per_node 2 eval/table2.py --shards data/portraits --work work
"""

from __future__ import annotations

import argparse
import sys

from facesep.evaluation import options, paper, tables
from facesep.evaluation.processes import processes
from facesep.evaluation.script import finish, new_parser, run_script

TITLE = "Table 2: reconstruction"


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser, several=True)
    options.add_data(parser)
    options.add_measures(parser)
    options.add_renders(parser)
    parser.add_argument(
        "--by", default="set", help="label of the photos for a second table; 'none' leaves it out"
    )
    options.add_run(parser)
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    own = processes(args.device)
    checkpoints = options.named(args.checkpoint)
    measures = options.open_measures(args)
    result = tables.measured(args, own, checkpoints, measures, "table2")
    if result is None:
        return
    rows = paper.quality_rows(paper.TABLE_2, "method")
    by = None if args.by == "none" else args.by
    found = tables.quality_tables(args, *result, measures, TITLE, rows, "method", checkpoints, by)
    finish(args, next(iter(checkpoints.values())), found)


if __name__ == "__main__":
    sys.exit(main())
