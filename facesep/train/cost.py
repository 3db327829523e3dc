"""Measures what a step of training costs, each phase in a process of its own, and multiplies it for a run.

Examples:
    python train/cost.py --config paper --resolutions 256 512 1024 --images 320000
    python train/cost.py --config mini --images 320000
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys

from facesep.errors import FaceSepError
from facesep.training.config import load_config
from facesep.training.cost import book_bytes, run_seconds, step_cost
from facesep.training.script import new_parser, run_script


def main() -> None:
    """Parses arguments and prints a table in Markdown."""
    parser = new_parser(__doc__, "config", "set")
    parser.add_argument("--resolutions", type=int, nargs="*", help="image sizes; by default the model's own")
    parser.add_argument("--images", type=int, default=320_000, help="images of an epoch")
    parser.add_argument("--processes", type=int, default=1, help="processes that share the work")
    parser.add_argument("--steps", type=int, default=3, help="measured steps of each phase")
    parser.add_argument("--kind", help=argparse.SUPPRESS)  # one measurement, as JSON
    run_script(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Measures one phase, or prints the table of all."""
    config = load_config(arguments.config, arguments.set)
    if arguments.kind:
        model = config.model_config()
        decoder = dataclasses.replace(model.decoder, image_size=arguments.resolutions[0])
        config = dataclasses.replace(config, model=dataclasses.replace(model, decoder=decoder))
        print(json.dumps(step_cost(config, arguments.kind, arguments.steps)))
        return
    kinds = list(dict.fromkeys(phase.kind for phase in config.schedule))
    print("| pixels | phase | s/step | images/s | memory GB | days for the run | code book GB |")
    print("|---|---|---|---|---|---|---|")
    for size in arguments.resolutions or [config.model_config().decoder.image_size]:
        found = {kind: measure(arguments, kind, size) for kind in kinds}
        rates = {kind: one["images_per_second"] for kind, one in found.items()}
        days = run_seconds(config, arguments.images, rates, arguments.processes) / 86400
        for kind, one in found.items():
            print(
                f"| {one['pixels']} | {kind} | {one['seconds']:.2f} | {one['images_per_second']:.2f} "
                f"| {one['memory_gb']:.1f} | {days:.1f} | {book_bytes(arguments.images) / 1e9:.2f} |",
                flush=True,
            )


def measure(arguments: argparse.Namespace, kind: str, size: int) -> dict:
    """One phase at one size in a fresh process, so that its peak of memory is its own."""
    command = [sys.executable, __file__, "--config", arguments.config, "--kind", kind]
    command += ["--resolutions", str(size), *(part for value in arguments.set for part in ("--set", value))]
    done = subprocess.run(
        [*command, "--steps", str(arguments.steps)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise FaceSepError(f"measuring {kind} at {size} px failed: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
