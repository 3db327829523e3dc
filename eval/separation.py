"""Does changing one attribute leave the others alone? The disentanglement score (Table 3).

Example:
    python eval/separation.py --shards data/portraits --estimator deep3d=weights/rnet.safetensors --sets 100
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from facesep import ConfigError
from facesep.evaluation import options, paper, plots, separation, tables
from facesep.evaluation.ledger import Ledger
from facesep.evaluation.processes import processes
from facesep.evaluation.report import describe, table
from facesep.evaluation.script import finish, new_parser, progress, run_script

TITLE = "Table 3: disentanglement score"


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser)
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
    own = processes(args.device)
    estimator = options.open_estimator(args)
    if estimator is None:
        raise ConfigError(
            "a disentanglement score needs --estimator: deep3d=FILE, open or encoder=CHECKPOINT"
        )
    if own.count > 1 and not args.work:
        raise ConfigError("several processes need --work DIR to put their results together")
    (sep,) = options.open_models({"facesep": args.checkpoint}, own.device).values()
    photos = options.open_photos(args, sep)
    plan = separation.Plan(args.sets, args.values, args.seed, args.spread, args.pose)
    settings = separation.settings(plan, estimator, photos)
    settings["checkpoint"] = describe(args.checkpoint)["sha256"]
    found = separation.measure(
        sep,
        photos,
        estimator,
        plan,
        Ledger(args.work, "separation", settings, own.rank),
        own,
        args.batch,
        on_set=lambda done, total: progress(done, total, "sets"),
    )
    if found is None:
        return
    scores = {"facesep": separation.scores(found, args.seed)}
    spreads = separation.matrix(found)
    where = options.where(args)
    found_tables = [
        table(
            f"{TITLE} ({where})",
            separation.score_rows(scores, "method") + paper.score_rows("method"),
            separation.note(plan, found.photos, estimator),
            scores,
            device=args.device,
            inputs=tables.inputs(args),
        ),
        table(
            f"Table 3: spreads behind the scores ({where})",
            separation.matrix_rows(found),
            separation.MATRIX_NOTE,
            {
                row: dict(zip(paper.FACTORS, line, strict=True))
                for row, line in zip(paper.FACTORS, spreads, strict=True)
            },
            device=args.device,
        ),
    ]
    effects = separation.side_effects(found, args.seed)
    found_tables.append(
        table(
            f"Table 3: side effects of single transfers ({where})",
            separation.side_effect_rows(effects),
            separation.side_effects_note(effects),
            effects,
            device=args.device,
        )
    )
    finish(args, args.checkpoint, found_tables)
    if args.plot:
        plots.heat(spreads, paper.FACTORS, Path(args.plot), "Spread, 1 = between photos")


if __name__ == "__main__":
    sys.exit(main())
