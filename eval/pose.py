"""Whether renders turn their heads as their codes say, by a pose network that training does not use.

Example:
    python eval/pose.py --shards data/portraits --labels labels.safetensors --tddfa tddfa_mb05.safetensors
"""

from __future__ import annotations

import argparse
import sys

import torch

from facesep import FaceSep
from facesep.analysis.label_file import LabelFile
from facesep.data.heads import ShardPhotos
from facesep.evaluation import options, pose
from facesep.evaluation.encoded import encode_all
from facesep.evaluation.report import table
from facesep.evaluation.script import finish, new_parser, progress, run_script


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser)
    options.add_shards(parser)
    parser.add_argument("--labels", required=True, help="label file of train/analyse.py for these shards")
    parser.add_argument("--tddfa", required=True, metavar="FILE", help="3DDFA_V2's mb05_120x120.safetensors")
    parser.add_argument("--limit", type=int, help="only so many photos, taken evenly")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    options.add_fit(parser)
    options.add_device(parser)
    options.add_out(parser)
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    tool = pose.TddfaPose(args.tddfa, args.device)
    sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
    photos = ShardPhotos(args.shards, args.split, sep.image_size, limit=args.limit)
    encoded = encode_all(sep, photos, steps=args.fit)
    ids = photos.shards.ids[[photos.rows[place] for place in encoded.places]]
    labels = LabelFile(args.labels, ids, mirror=False).codes(torch.arange(len(ids)))
    found, offset = pose.measure(
        sep,
        encoded.codes,
        encoded.targets,
        labels.rotation,
        tool,
        on_view=lambda done, total: progress(done, total, "views"),
    )
    summary = pose.summarise(found, encoded.people, args.seed)
    note = pose.NOTE.format(
        photos=len(encoded.people),
        people=len(set(encoded.people)),
        split=args.split,
        tool=tool.name,
        offset=offset,
    )
    title = f"Head pose of renders against their codes ({args.split} crops)"
    finish(args, args.checkpoint, [table(title, pose.rows(summary), note, summary, device=args.device)])


if __name__ == "__main__":
    sys.exit(main())
