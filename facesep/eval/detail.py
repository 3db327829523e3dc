"""What photo detail gives beside the plain render, on photos of a portraits folder.

Examples:
    python eval/detail.py --portraits PORTRAITS --without gsa_18f --limit 60
        --st-lpips st_vgg.safetensors --tddfa tddfa_mb05.safetensors --out eval.json
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from facesep import FaceSep
from facesep.evaluation import detail, options
from facesep.evaluation.identity import DlibIdentity
from facesep.evaluation.mouth import ExternalTool
from facesep.evaluation.perceptual import st_lpips_distance
from facesep.evaluation.pose import TddfaPose
from facesep.evaluation.report import table
from facesep.evaluation.runner import finish, new_parser, progress, run_script

PARTS = ("exactness", "colours", "likeness", "pose", "expression", "hair", "mouths")


def main() -> int:
    """Parses the arguments and measures."""
    parser = new_parser(__doc__)
    options.add(parser, "portraits", "checkpoint", "split", "without", "limit")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="default: all")
    parser.add_argument("--tddfa", metavar="FILE", help="3DDFA_V2's mb05_120x120.safetensors; measures poses")
    parser.add_argument("--masks", metavar="COMMAND", help="hair segmentation (docs/evaluation.md)")
    options.add(parser, "landmarks", "st-lpips", "seed", "out")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures all that can be measured with what was given, and reports."""
    detail.quiet()
    # All that can be missing, before anything is measured.
    identity = DlibIdentity() if "likeness" in args.parts else None
    tool = TddfaPose(args.tddfa) if args.tddfa else None
    distance = st_lpips_distance(args.st_lpips).distance if args.st_lpips else None
    sep = FaceSep.from_pretrained(args.checkpoint)
    sitters = detail.read_sitters(sep, args.portraits, args.split, args.limit, args.without, progress)
    measures = {
        "exactness": lambda: detail.exactness(sep, sitters),
        "colours": lambda: detail.colour_shares(sep, sitters, args.seed),
        "likeness": lambda: detail.likeness(
            sep, sitters, identity, args.seed, partial(progress, what="views")
        ),
        "pose": lambda: tool and detail.poses(sep, sitters, tool, args.seed),
        "expression": lambda: distance and detail.expressions(sep, sitters, distance, args.seed),
        "hair": lambda: args.masks and detail.hair(sep, sitters, args.masks, args.seed),
        "mouths": lambda: (
            args.landmarks and detail.mouths(sep, sitters, ExternalTool(args.landmarks), args.seed)
        ),
    }
    found = {name: measures[name]() for name in args.parts}
    people = len({one.person for one in sitters})
    note = detail.NOTE.format(photos=len(sitters), people=people, split=args.split, size=detail.SIZE)
    title = f"Photo detail: {', '.join(args.parts)} ({args.split})"
    finish(args, args.checkpoint, [table(title, detail.rows(found), note, found)])


if __name__ == "__main__":
    sys.exit(main())
