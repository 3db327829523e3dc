"""How near renders are to their photos: pixels, structure and identity, beside references (Table 2).

Examples:
    python eval/representation.py --shards data/portraits --split val --out eval.json
"""

from __future__ import annotations

import argparse
import sys

from facesep.data.heads import mean_face
from facesep.evaluation import options, representation
from facesep.evaluation.identity import DlibIdentity
from facesep.evaluation.runner import finish, new_parser, progress, run_script
from facesep.nets.official.st_lpips import StLpips


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add(parser, "shards", required=True)
    options.add(parser, "split")
    parser.add_argument("--photos", help="folder of the original photos: detects and aligns them")
    options.add(parser, "identity", "st-lpips", "limit", "seed", "fit", "device", "out")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    identity = DlibIdentity() if args.identity == "dlib" else None
    perceptual = StLpips.from_file(args.st_lpips) if args.st_lpips else None
    sep, photos = options.open_shards(args)
    measured = representation.measure(
        sep,
        photos,
        mean_face(args.shards, sep.image_size),
        identity,
        perceptual,
        on_photo=lambda done: progress(done, len(photos)),
        steps=args.fit,
    )
    people = len(set(measured.people))
    origin = "detected in the original photos" if args.photos else "placed by the data set's landmarks"
    note = f"{len(measured.people)} photos of {people} people ({args.split}), crops {origin}. "
    if photos.refused:
        refused = ", ".join(f"{count} x {name}" for name, count in photos.refused.items())
        note += f"Refused by detection: {refused}. "
    note += representation.NOTE.format(identity=identity.name if identity else "no", people=people)
    if perceptual is not None:
        note += " ST-LPIPS is not LPIPS."
    tables = representation.tables(measured, args.seed, options.where(args), note, args.device)
    finish(args, args.checkpoint, tables)


if __name__ == "__main__":
    sys.exit(main())
