"""What the Finish network gives beside photo detail alone, on photos that went there and back.

Examples:
    python eval/finish.py --portraits PORTRAITS --without gsa_18f --limit 40 --st-lpips st_vgg.safetensors
        --out eval.json --sheet sheet.png
"""

from __future__ import annotations

import argparse
import sys

from facesep import FaceSep
from facesep.evaluation import detail, options
from facesep.evaluation import finish as measured
from facesep.evaluation.perceptual import st_lpips_distance
from facesep.evaluation.report import table
from facesep.evaluation.runner import finish, new_parser, progress, run_script
from facesep.images import to_image
from facesep.saving import save


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add(parser, "portraits", "checkpoint", "split", "without", "limit")
    parser.add_argument("--sheet", metavar="FILE", help="also a picture of the first eight people")
    options.add(parser, "st-lpips", "seed", "out")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    detail.quiet()
    distance = st_lpips_distance(args.st_lpips).distance if args.st_lpips else None
    sep = FaceSep.from_pretrained(args.checkpoint)
    sitters = detail.read_sitters(sep, args.portraits, args.split, args.limit, args.without, progress)
    found = measured.measure(sep, sitters, distance, args.seed, progress)
    found["orbit"] = {"flicker": measured.flicker(sep, sitters[:8], args.seed)}
    if args.sheet:
        save(to_image(measured.sheet(sep, sitters[:8])), args.sheet)
    people = len({one.person for one in sitters})
    note = measured.NOTE.format(photos=len(sitters), people=people, split=args.split, size=detail.SIZE)
    finish(args, args.checkpoint, [table(f"Finish ({args.split})", measured.rows(found), note, found)])


if __name__ == "__main__":
    sys.exit(main())
