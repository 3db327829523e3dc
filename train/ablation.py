"""Trains small runs with and without L_dis, L_cyc and the hair code, and tabulates them (Tables 5 and 6).

Example:
    python train/ablation.py --config train/configs/tiny.yaml --shards data/portraits
        --labels data/labels.safetensors --out runs/ablation --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from facesep.errors import FaceSepError
from facesep.training.ablation import VARIANTS, run, summary, table
from facesep.training.config import load_config
from facesep.training.dataset import TrainingSet


def main() -> None:
    """Parses arguments, trains, writes ``ablation.json`` and ``ablation.md``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="YAML file of the full run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one value")
    parser.add_argument("--shards", required=True, help="folder written by train/prepare_data.py")
    parser.add_argument("--labels", required=True, help="file written by train/analyse.py")
    parser.add_argument(
        "--out", required=True, type=Path, help="folder of the runs and of the tables; finished runs are kept"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--max_train_samples", type=int, metavar="N", help="train on N photos, evenly spread")
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config, arguments.set)
        train, held_out = (
            TrainingSet(arguments.shards, arguments.labels, split, config.image_store, most=most)
            for split, most in (("train", arguments.max_train_samples), ("val", None))
        )
        records = run(config, train, held_out, arguments.out, arguments.seeds, arguments.variants)
    except FaceSepError as error:
        parser.exit(1, f"error: {error}\n")
    rows = summary(records)
    command = shlex.join(["python", *sys.argv])
    content = {"command": command, "summary": rows, "records": records}
    (arguments.out / "ablation.json").write_text(json.dumps(content, indent=1) + "\n")
    (arguments.out / "ablation.md").write_text(f"```\n{command}\n```\n\n{table(rows)}\n")
    print(table(rows))


if __name__ == "__main__":
    main()
