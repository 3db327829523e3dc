"""What photo detail gives beside the plain render, on photos of a portraits folder.

Examples:
    python eval/detail.py --portraits PORTRAITS --without gsa_18f --limit 60
        --st-lpips st_vgg.safetensors --tddfa tddfa_mb05.safetensors --out detail.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from functools import partial
from pathlib import Path

from facesep import FaceSep
from facesep.errors import FaceSepError
from facesep.evaluation import detail
from facesep.evaluation.identity import DlibIdentity
from facesep.evaluation.mouth import ExternalTool
from facesep.evaluation.perceptual import st_lpips_distance
from facesep.evaluation.pose import TddfaPose

PARTS = ("exactness", "colours", "likeness", "pose", "expression", "hair", "mouths")


def main() -> int:
    """Parses the arguments, measures, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--portraits", required=True, help="folder with index.csv and photos")
    parser.add_argument("--checkpoint", help="folder or user/repo (default: the bundled one)")
    parser.add_argument("--split", default="val", choices=("train", "val"))
    parser.add_argument("--without", nargs="*", default=[], metavar="SET", help="sets that are left out")
    parser.add_argument("--limit", type=int, help="only so many photos, taken evenly")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="default: all")
    parser.add_argument("--st-lpips", metavar="FILE", help="weights of ST-LPIPS; measures expressions")
    parser.add_argument("--tddfa", metavar="FILE", help="3DDFA_V2's mb05_120x120.safetensors; measures poses")
    parser.add_argument("--masks", metavar="COMMAND", help="hair segmentation (docs/evaluation.md)")
    parser.add_argument("--landmarks", metavar="COMMAND", help="landmark tool (docs/evaluation.md): mouths")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--out", help="JSON file to write")
    args = parser.parse_args()
    try:
        found = measure(args)
    except FaceSepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = json.dumps(found, indent=2, default=dataclasses.asdict)
    if args.out:
        Path(args.out).write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def measure(args: argparse.Namespace) -> dict:
    """All that can be measured with what was given."""
    detail.quiet()
    # All that can be missing, before anything is measured.
    identity = DlibIdentity() if "likeness" in args.parts else None
    tool = TddfaPose(args.tddfa) if args.tddfa else None
    distance = st_lpips_distance(args.st_lpips).distance if args.st_lpips else None
    sep = FaceSep.from_pretrained(args.checkpoint)
    sitters = detail.read_sitters(
        sep, args.portraits, args.split, args.limit, args.without, partial(_progress, "photos")
    )
    measures = {
        "exactness": lambda: detail.exactness(sep, sitters),
        "colours": lambda: detail.colour_shares(sep, sitters, args.seed),
        "likeness": lambda: detail.likeness(sep, sitters, identity, args.seed, partial(_progress, "views")),
        "pose": lambda: tool and detail.poses(sep, sitters, tool, args.seed),
        "expression": lambda: distance and detail.expressions(sep, sitters, distance, args.seed),
        "hair": lambda: args.masks and detail.hair(sep, sitters, args.masks, args.seed),
        "mouths": lambda: (
            args.landmarks and detail.mouths(sep, sitters, ExternalTool(args.landmarks), args.seed)
        ),
    }
    people = len({one.person for one in sitters})
    found = {"photos": len(sitters), "people": people}
    return found | {name: measures[name]() for name in args.parts}


def _progress(what: str, done: int, total: int) -> None:
    print(f"{done}/{total} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
