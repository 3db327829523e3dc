"""Seconds of every step on this machine: import, load, detect, encode, render, orbit (Table 4).

Example:
    python eval/speed.py --photo portrait.jpg --out eval.json
"""

from __future__ import annotations

import argparse
import sys

import torch

from facesep import ConfigError
from facesep.evaluation import fitting, fps, options, speed
from facesep.evaluation.report import hardware, table
from facesep.evaluation.script import finish, new_parser, run_script


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser)
    parser.add_argument("--photo", required=True, help="a photo with one face")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=60, help="of the orbit; 0 leaves it out")
    parser.add_argument("--threads", type=int, help="of torch; its own choice by default")
    parser.add_argument("--fit", metavar="DIR", help="folder of eval/fit.py: adds its seconds for a photo")
    options.add_device(parser)
    parser.add_argument("--out", help="eval.json to write or to add to")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    if args.repeats < 1 or args.frames < 0 or (args.threads or 1) < 1:
        raise ConfigError("repeats and threads must be at least 1, frames at least 0")
    if args.threads:
        torch.set_num_threads(args.threads)
    measured = speed.measure(
        args.checkpoint,
        args.photo,
        args.repeats,
        args.frames,
        args.device,
        on_round=lambda done: print(f"{done}/{args.repeats}", file=sys.stderr, flush=True),
    )
    machine = hardware(args.device)
    best, median = measured.gflops
    results = {"seconds": measured.steps, "matmul_gflops": {"best": best, "median": median}}
    fitted = {"per-image fitting of our decoder": fitting.mean_seconds(args.fit)} if args.fit else None
    rates = fps.frames_per_second(measured, fitted)
    tables = [
        table(
            f"Speed ({machine})",
            speed.rows(measured),
            speed.note(measured, args.checkpoint, args.photo, args.repeats),
            results,
            device=args.device,
        ),
        table(
            f"Table 4: frames per second ({machine})",
            fps.rows(rates),
            fps.NOTE.format(machine=machine),
            rates,
            device=args.device,
        ),
    ]
    finish(args, args.checkpoint, tables)


if __name__ == "__main__":
    sys.exit(main())
