"""One training after some and after more rounds (Table 6): its branch on the Hub, or folders.

Examples:
    python eval/em_rounds.py --branch user/repo --shards data/portraits --out rounds.json
    python eval/em_rounds.py --checkpoint "round 1=r1" --checkpoint "round 5=r5" --shards data/portraits
"""

from __future__ import annotations

import argparse
import sys

from facesep import ConfigError
from facesep.evaluation import options, paper, plots, quality
from facesep.evaluation.comparison import COLUMNS
from facesep.evaluation.runner import new_parser, run_script
from facesep.hub.rounds import pushed_rounds

TITLE = "Table 6: rounds of training"


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    parser.add_argument("--branch", metavar="USER/REPO[@BRANCH]", help="every round that was pushed to it")
    parser.add_argument("--every", type=int, default=1, help="of the branch only every so many-th round")
    options.add_checkpoints(parser)
    options.add_data(parser)
    options.add_measures(parser)
    options.add_run(parser)
    parser.add_argument("--plot", metavar="FILE", help="a .png with one line for each measure")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    if bool(args.branch) == bool(args.checkpoint):
        raise ConfigError("give --branch, or --checkpoint NAME=FOLDER for each round")
    if args.branch:
        checkpoints = {f"round {n}": one for n, one in pushed_rounds(args.branch, args.every).items()}
    else:
        checkpoints = options.named(args.checkpoint)
    last = next(reversed(checkpoints.values()))
    about = {"title": TITLE, "paper": paper.TABLE_6, "label": "round"}
    summary = quality.report(args, checkpoints, "table6", belongs_to=last, **about)
    if args.plot and summary is not None:
        plots.lines({name: summary[name] for name in checkpoints}, COLUMNS, args.plot, TITLE)


if __name__ == "__main__":
    sys.exit(main())
