"""Turns a run's checkpoint into a release: card, numbers, half precision, and a push to the Hub.

Examples:
    python train/push.py runs/mini/checkpoint --about about.json --eval eval.json
        --dtype float16 --out facesep/assets/mini
    python train/push.py runs/mini/checkpoint --about about.json --out release --repo user/repo
    python train/push.py --out release --repo user/repo --space user/demo
    python train/push.py facesep/assets/mini --refiner runs/refiner/refiner --dtype float16 --out release
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

import facesep
from facesep.checkpoint import CARD
from facesep.errors import ConfigError
from facesep.hub import push
from facesep.hub.space import push_space
from facesep.training.export import read_record, release
from facesep.training.script import new_parser, run_script

TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def main() -> None:
    """Parses arguments, writes the release and pushes it if asked."""
    parser = new_parser(__doc__, "private")
    parser.add_argument("checkpoint", nargs="?", help="such as RUN/checkpoint; by default the bundled one")
    parser.add_argument("--about", help="JSON: license, summary, data, command; those it has by default")
    parser.add_argument("--eval", help="JSON written by eval/representation.py, shown in the card")
    parser.add_argument("--refiner", help="folder or user/repo of a refiner to put beside the model")
    parser.add_argument("--dtype", choices=TYPES, default="float32", help="float type of the stored weights")
    parser.add_argument("--out", required=True, help="folder of the release")
    parser.add_argument("--repo", metavar="USER/REPO", help="also push it to this repository")
    parser.add_argument("--space", metavar="USER/NAME", help="also push the demo, for this checkpoint")
    parser.add_argument("--branch", help="branch to push to")
    run_script(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the release and pushes it if asked."""
    if arguments.space and not arguments.repo:
        raise ConfigError("--space needs --repo: the Space loads the checkpoint from there")
    evaluation = read_record(arguments.eval) if arguments.eval else None
    about = read_record(arguments.about) if arguments.about else {}
    dtype = TYPES[arguments.dtype]
    release(arguments.checkpoint, arguments.out, about, evaluation, dtype, arguments.refiner)
    print(f"wrote {arguments.out}")
    if arguments.repo:
        card = Path(arguments.out, CARD)  # its lines of code load from there
        text = card.read_text(encoding="utf-8").replace('"user/repo"', json.dumps(arguments.repo))
        card.write_text(text, encoding="utf-8")
        print(push(arguments.out, arguments.repo, branch=arguments.branch, private=arguments.private))
    if arguments.space:
        root = Path(facesep.__file__).resolve().parents[1]
        print(push_space(root, arguments.space, arguments.repo, private=arguments.private))


if __name__ == "__main__":
    main()
