"""Checkpoints of ablated trainings side by side (Table 5).

Example:
    python eval/ablation.py --checkpoint full=runs/full/checkpoint --checkpoint "w/o L_dis=runs/a/checkpoint"
        --shards data/portraits --out ablation.json
"""

from __future__ import annotations

import argparse
import sys

from facesep import ConfigError
from facesep.evaluation import options, paper, tables
from facesep.evaluation.processes import processes
from facesep.evaluation.script import finish, new_parser, run_script

TITLE = "Table 5: ablations"


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser, several=True)
    options.add_data(parser)
    options.add_measures(parser)
    options.add_run(parser)
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    own = processes(args.device)
    checkpoints = options.named(args.checkpoint)
    if len(checkpoints) < 2:
        raise ConfigError("an ablation compares at least two trainings: give --checkpoint NAME=FOLDER twice")
    measures = options.open_measures(args)
    result = tables.measured(args, own, checkpoints, measures, "table5")
    if result is None:
        return
    rows = paper.quality_rows(paper.TABLE_5, "training")
    found = tables.quality_tables(args, *result, measures, TITLE, rows, "training", checkpoints)
    finish(args, next(iter(checkpoints.values())), found)


if __name__ == "__main__":
    sys.exit(main())
