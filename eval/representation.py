"""How near renders are to their photos: pixels, structure and identity, beside references (Table 2).

Example:
    python eval/representation.py --shards data/portraits --split val --out eval.json
"""

from __future__ import annotations

import argparse
import sys

from facesep import FaceSep
from facesep.data.heads import ShardPhotos, mean_face
from facesep.evaluation import options, representation
from facesep.evaluation.identity import DlibIdentity
from facesep.evaluation.report import table
from facesep.evaluation.script import finish, new_parser, progress, run_script
from facesep.nets.official.st_lpips import StLpips


def main() -> int:
    """Parses the arguments, measures, writes the report."""
    parser = new_parser(__doc__)
    options.add_checkpoint(parser)
    options.add_shards(parser)
    parser.add_argument("--photos", help="folder of the original photos: detects and aligns them")
    parser.add_argument("--identity", default="dlib", choices=("dlib", "none"))
    parser.add_argument("--st-lpips", help="safetensors file of ST-LPIPS's VGG: adds that distance")
    parser.add_argument("--limit", type=int, help="only so many photos, for a quick look")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    options.add_fit(parser)
    options.add_device(parser)
    options.add_out(parser)
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    identity = DlibIdentity() if args.identity == "dlib" else None
    perceptual = StLpips.from_file(args.st_lpips) if args.st_lpips else None
    sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
    photos = ShardPhotos(args.shards, args.split, sep.image_size, args.photos, sep.align, limit=args.limit)
    measured = representation.measure(
        sep,
        photos,
        mean_face(args.shards, sep.image_size),
        identity,
        perceptual,
        on_photo=lambda done: progress(done, len(photos)),
        steps=args.fit,
    )
    summary = representation.summarise(measured, args.seed)
    groups = representation.by_group(measured, args.seed)
    people = len(set(measured.people))
    origin = "detected in the original photos" if args.photos else "placed by the data set's landmarks"
    head = f"{len(measured.people)} photos of {people} people ({args.split}), crops {origin}. "
    if photos.refused:
        refused = ", ".join(f"{count} x {name}" for name, count in photos.refused.items())
        head += f"Refused by detection: {refused}. "
    note = head + representation.NOTE.format(identity=identity.name if identity else "no", people=people)
    if perceptual is not None:
        note += " ST-LPIPS is not LPIPS."
    where = "photos" if args.photos else "crops"
    tables = [
        table(
            f"Representation ({args.split} {where})",
            representation.rows(summary),
            note,
            summary,
            device=args.device,
        ),
        table(
            f"Representation by set ({args.split} {where})",
            representation.rows(groups, label="set"),
            "The first row of the table before, by the set that the photos are from; ranks are among all.",
            groups,
            device=args.device,
        ),
    ]
    finish(args, args.checkpoint, tables)


if __name__ == "__main__":
    sys.exit(main())
