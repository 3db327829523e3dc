"""Checkpoints of ablated trainings side by side (Table 5).

Examples:
    python eval/ablation.py --checkpoint full=runs/full/checkpoint --checkpoint "w/o L_dis=runs/a/checkpoint"
        --shards data/portraits --out ablation.json
"""

from __future__ import annotations

import argparse
import sys

from facesep import ConfigError
from facesep.evaluation import options, paper, quality
from facesep.evaluation.runner import new_parser, run_script


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add_checkpoints(parser)
    options.add_data(parser)
    options.add_measures(parser)
    options.add_run(parser)
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    checkpoints = options.named(args.checkpoint)
    if len(checkpoints) < 2:
        raise ConfigError("an ablation compares at least two trainings: give --checkpoint NAME=FOLDER twice")
    quality.report(
        args,
        checkpoints,
        "table5",
        belongs_to=next(iter(checkpoints.values())),
        title="Table 5: ablations",
        paper=paper.TABLE_5,
        label="training",
    )


if __name__ == "__main__":
    sys.exit(main())
