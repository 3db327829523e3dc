"""Trains small runs with and without L_dis, L_cyc and the hair code, and tabulates them (Tables 5 and 6).

Examples:
    python train/ablation.py --config tiny --shards data/portraits
        --labels data/labels.safetensors --out runs/ablation --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from facesep.training.ablation import VARIANTS, run, summary, table
from facesep.training.config import load_config
from facesep.training.dataset import TrainingSet
from facesep.training.script import new_parser, run_script


def main() -> None:
    """Parses arguments and trains."""
    parser = new_parser(__doc__, "config", "set", "shards", "labels")
    parser.add_argument(
        "--out", required=True, type=Path, help="folder of the runs and of the tables; finished runs are kept"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--max_train_samples", type=int, metavar="N", help="train on N photos, evenly spread")
    run_script(parser, tabulate)


def tabulate(arguments: argparse.Namespace) -> None:
    """Trains, writes ``ablation.json`` and ``ablation.md``."""
    config = load_config(arguments.config, arguments.set)
    train, held_out = (
        TrainingSet(arguments.shards, arguments.labels, split, config.image_store, most=most)
        for split, most in (("train", arguments.max_train_samples), ("val", None))
    )
    records = run(config, train, held_out, arguments.out, arguments.seeds, arguments.variants)
    rows = summary(records)
    command = shlex.join(["python", *sys.argv])
    content = {"command": command, "summary": rows, "records": records}
    (arguments.out / "ablation.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "ablation.md").write_text(f"```\n{command}\n```\n\n{table(rows)}\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
