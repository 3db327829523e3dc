"""Seconds of every step on this machine: import, load, detect, encode, render, orbit (Table 4).

Examples:
    python eval/speed.py --photo portrait.jpg --out eval.json

With ``--donor`` it times photo detail: reading a photo, edits by size, an orbit::

    python eval/speed.py --photo portrait.jpg --donor other.jpg --repeats 5

With ``--preset`` it compares forms of computing a model (reference, ours, bfloat16, other runtimes) instead::

    python eval/speed.py --preset paper --sizes 256 512 1024 --frames 0 --out speed.json

and with ``--growth`` how its cost grows with size, samples, batch and frames::

    python eval/speed.py --preset small --growth --plot growth.png

``--apart`` runs each form in a process of its own under a time limit, with photo detail and training steps:
at most eight minutes, for a GPU that one has for minutes::

    python eval/speed.py --apart --preset paper --device cuda --batches 1 8 --out speed.json
"""

from __future__ import annotations

import argparse
import sys

import torch

from facesep import ConfigError, FaceSep
from facesep.evaluation import fitting, options, plots
from facesep.evaluation.bench import apart, comparison, detail, scaling, steps
from facesep.evaluation.bench.forms import REFERENCE
from facesep.evaluation.report import markdown, write_speed
from facesep.evaluation.runner import finish, new_parser, progress, run_script


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    parser.add_argument("--photo", help="a photo with one face; needed without --preset")
    parser.add_argument("--donor", help="a second photo: photo detail is timed instead")
    parser.add_argument("--refiner", help="to time with --photo; by default the checkpoint's")
    parser.add_argument("--preset", help="compare the forms of computing this preset with random weights")
    parser.add_argument("--sizes", type=int, nargs="+", help="of images with --preset; its own by default")
    parser.add_argument("--forms", nargs="+", help="with --preset; by default all that are installed")
    parser.add_argument("--stages", nargs="+", default=["encode", "render"], choices=["encode", "render"])
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory that each form adds")
    parser.add_argument("--batches", type=int, nargs="+", default=[1], help="faces at once with --preset")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--growth", action="store_true", help="with --preset: how cost grows")
    parser.add_argument("--apart", action="store_true", help="with --preset: each form in its own process")
    parser.add_argument("--limit", type=float, default=apart.EACH, help="with --apart: seconds for each")
    parser.add_argument("--plot", metavar="PNG", help="with --growth: draw it (needs matplotlib)")
    parser.add_argument("--frames", type=int, default=60, help="of the orbit; 0 leaves it out")
    parser.add_argument("--threads", type=int, help="of torch; its own choice by default")
    parser.add_argument("--fit", metavar="DIR", help="folder of eval/fit.py: adds its seconds for a photo")
    options.add(parser, "device", "out")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    if args.repeats < 1 or args.frames < 0 or (args.threads or 1) < 1:
        raise ConfigError("repeats and threads must be at least 1, frames at least 0")
    if args.threads:
        torch.set_num_threads(args.threads)
    shared = {"device": args.device, "repeats": args.repeats, "on_round": lambda n: progress(n, args.repeats)}
    if args.preset is None:
        if args.photo is None:
            raise ConfigError("give a photo with --photo, or compare the forms of a --preset")
        if args.donor:
            sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
            found = detail.measure(sep, args.photo, args.donor, frames=args.frames, **shared)
            finish(args, args.checkpoint, [found])
            return
        fitted = {"per-image fitting of our decoder": fitting.mean_seconds(args.fit)} if args.fit else None
        measured = steps.measure(
            args.checkpoint, args.photo, frames=args.frames, refiner=args.refiner, **shared
        )
        finish(args, args.checkpoint, steps.tables(measured, args.device, fitted))
        return
    if args.apart:
        run_apart(args)
        return
    if args.growth:
        points = scaling.POINTS | ({scaling.SIZE: args.sizes} if args.sizes else {})
        points |= {} if args.frames else {scaling.FRAMES: ()}
        rows = scaling.measure(args.preset, args.forms or [REFERENCE, "float32"], points, **shared)
        tables = [scaling.scaling_table(rows, args.preset, args.repeats, args.device)]
        if args.plot:
            plots.growth(rows, args.plot, f"{args.preset}: seconds")
    else:
        shared |= {"stages": args.stages, "batches": args.batches, "frames": args.frames}
        tables = [
            comparison.comparison_table(args.preset, size, args.forms, memory=not args.no_memory, **shared)
            for size in args.sizes or [None]
        ]
    if args.out:
        write_speed(args.out, tables)
    print(markdown(tables))


def run_apart(args: argparse.Namespace) -> None:
    """Measures in processes of their own; the report is written after each."""
    todo = apart.parts(args.preset, args.sizes, args.forms, args.batches, args.repeats, args.device)

    def told(rows: list, done: int) -> None:
        progress(done, len(todo))
        if args.out:
            write_speed(args.out, [apart.apart_table(rows, args.limit, args.repeats, args.device)])

    rows = apart.measure(todo, args.limit, on_part=told)
    print(markdown([apart.apart_table(rows, args.limit, args.repeats, args.device)]))


if __name__ == "__main__":
    sys.exit(main())
