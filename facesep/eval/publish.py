"""Puts an eval.json into a checkpoint: its card, its eval.json and, for a benchmark, .eval_results/.

Examples:
    python eval/publish.py eval.json user/repo
    python eval/publish.py eval.json user/repo --dataset user/portraits --task reconstruction
        --table "Table 2: reconstruction (val crops)" --method facesep --column L1
"""

from __future__ import annotations

import argparse
import sys

from facesep import ConfigError
from facesep.evaluation.publish import Benchmark, publish
from facesep.evaluation.runner import new_parser, run_script


def main() -> int:
    """Parses the arguments and publishes."""
    parser = new_parser(__doc__)
    parser.add_argument("report", help="eval.json on exactly the checkpoint's weights")
    parser.add_argument("checkpoint", help="folder, or repository on the Hub")
    parser.add_argument("--branch", help="of the repository")
    parser.add_argument("--dataset", metavar="USER/NAME", help="benchmark data set on the Hub")
    parser.add_argument("--task", help="its name for the measure")
    parser.add_argument("--table", help="title of the report's table")
    parser.add_argument("--method", default="facesep", help="row of the table")
    parser.add_argument("--column", help="column of the table")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Publishes."""
    given = (args.dataset, args.task, args.table, args.column)
    if any(given) and not all(given):
        raise ConfigError("a benchmark needs --dataset, --task, --table and --column")
    benchmark = (
        Benchmark(args.dataset, args.task, args.table, args.method, args.column) if args.dataset else None
    )
    print(publish(args.checkpoint, args.report, benchmark, branch=args.branch))


if __name__ == "__main__":
    sys.exit(main())
