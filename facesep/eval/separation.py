"""Does changing one attribute leave the others alone? The disentanglement score (Table 3).

Examples:
    python eval/separation.py --shards data/portraits --estimator deep3d=weights/rnet.safetensors --sets 100
"""

from __future__ import annotations

import argparse
import sys

from facesep import ConfigError
from facesep.evaluation import options, paper, plots, quality, separation
from facesep.evaluation.report import describe
from facesep.evaluation.runner import Processes, ResultLog, finish, new_parser, progress, run_script


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add_data(parser)
    options.add_estimator(parser)
    parser.add_argument("--sets", type=int, default=100, help="sets of renders for each attribute")
    parser.add_argument("--values", type=int, default=10, help="renders in a set")
    parser.add_argument("--spread", default="variance", choices=separation.SPREADS)
    options.add_run(parser)
    parser.add_argument("--plot", metavar="FILE", help="a .png with the spreads behind the scores")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    processes = Processes.of_this_run(args.device, args.work)
    estimator = options.open_estimator(args)
    if estimator is None:
        raise ConfigError(
            "a disentanglement score needs --estimator: deep3d=FILE, open or encoder=CHECKPOINT"
        )
    (sep,) = options.open_models({"facesep": args.checkpoint}, processes.device).values()
    photos = options.open_photos(args, sep)
    plan = separation.Plan(args.sets, args.values, args.seed, args.spread, args.pose)
    settings = {
        "plan": vars(plan),
        "estimator": estimator.name,
        "photos": photos.origin(),
        "checkpoint": describe(args.checkpoint)["sha256"],
    }
    log = ResultLog(args.work, "separation", settings, processes.rank)
    on_set = lambda done, total: progress(done, total, "sets")  # noqa: E731
    found = separation.measure(sep, photos, estimator, plan, log, processes, args.batch, on_set)
    if found is None:
        return
    about = (options.where(args), args.device, quality.inputs(args))
    finish(args, args.checkpoint, separation.tables(found, plan, estimator, *about))
    if args.plot:
        plots.heat(separation.matrix(found), paper.FACTORS, args.plot, "Spread, 1 = between photos")


if __name__ == "__main__":
    sys.exit(main())
