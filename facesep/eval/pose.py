"""Whether renders turn their heads as their codes say, by a pose network that training does not use.

Examples:
    python eval/pose.py --shards data/portraits --labels labels.safetensors --tddfa tddfa_mb05.safetensors
"""

from __future__ import annotations

import argparse
import sys

import torch

from facesep.analysis.label_file import LabelFile
from facesep.evaluation import options, pose
from facesep.evaluation.encoded import encode_all
from facesep.evaluation.report import table
from facesep.evaluation.runner import finish, new_parser, progress, run_script


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add(parser, "shards", required=True)
    options.add(parser, "split")
    parser.add_argument("--labels", required=True, help="label file of train/analyse.py for these shards")
    parser.add_argument("--tddfa", required=True, metavar="FILE", help="3DDFA_V2's mb05_120x120.safetensors")
    options.add(parser, "limit", "seed", "fit", "device", "out")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    tool = pose.TddfaPose(args.tddfa, args.device)
    sep, photos = options.open_shards(args)
    encoded = encode_all(sep, photos, steps=args.fit)
    ids = photos.shards.ids[[photos.rows[place] for place in encoded.places]]
    labels = LabelFile(args.labels, ids, mirror=False).codes(torch.arange(len(ids)))
    on_view = lambda done, total: progress(done, total, "views")  # noqa: E731
    found, offset = pose.measure(sep, encoded.codes, encoded.targets, labels.rotation, tool, on_view)
    summary = pose.summarise(found, encoded.people, args.seed)
    people = {"photos": len(encoded.people), "people": len(set(encoded.people)), "split": args.split}
    note = pose.NOTE.format(**people, tool=tool.name, offset=offset)
    title = f"Head pose of renders against their codes ({args.split} crops)"
    finish(args, args.checkpoint, [table(title, pose.rows(summary), note, summary, device=args.device)])


if __name__ == "__main__":
    sys.exit(main())
