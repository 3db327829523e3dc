"""Quality against UNet calls of any refiner, its cost, and the flicker of refined videos.

Examples:
    python eval/refinement.py --refiner runs/refiner/refiner --shards data/portraits \
        --st-lpips weights/st_lpips.safetensors --out refinement.json --plot refinement.png
    python eval/refinement.py --unet user/ddpm --shards data/portraits --identity none --start 200
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from facesep import FaceSepError
from facesep.environment import command, commit, hardware, versions
from facesep.evaluation import options, plots, refinement, sheet
from facesep.evaluation.identity import DlibIdentity
from facesep.evaluation.runner import new_parser, progress, run_script
from facesep.images import note_refined
from facesep.nets.official.st_lpips import StLpips
from facesep.provenance import write_image


def main() -> int:
    """Parses the arguments, measures, writes numbers and plot."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--refiner", help="folder or Hub repository (default: the checkpoint's own)")
    which.add_argument("--unet", help="any unconditional UNet2DModel, a folder or Hub repository")
    options.add(parser, "shards", required=True)
    options.add(parser, "split")
    parser.add_argument("--calls", default=",".join(map(str, refinement.CALLS)), help="UNet calls")
    parser.add_argument("--start", type=int, help="noise level (default: the refiner's)")
    parser.add_argument("--eta", type=float, help="share of fresh noise (default: the refiner's)")
    options.add(parser, "identity", "st-lpips")
    options.add(parser, "limit", default=50)
    parser.add_argument("--frames", type=int, default=12, help="frames of the video; 0 leaves it out")
    options.add(parser, "device")
    parser.add_argument("--out", help="JSON file for the numbers")
    parser.add_argument("--plot", help="PNG file for the plot")
    parser.add_argument("--pictures", metavar="JPG", help="sheet of photos, renders and refined renders")
    parser.add_argument("--people", type=int, default=8, help="rows of the sheet")
    return run_script(parser, run, (FaceSepError, OSError))


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    from facesep.refine import FaceRefiner

    sep, photos = options.open_shards(args)
    if args.refiner:
        sep.refiner = FaceRefiner.from_pretrained(args.refiner)
    elif args.unet:
        sep.refiner = FaceRefiner.from_unet(args.unet)
    sep.refiner.set_progress_bar_config(disable=True)
    settings = {name: getattr(args, name) for name in ("start", "eta") if getattr(args, name) is not None}
    calls = [int(word) for word in args.calls.split(",")]
    for count in calls:
        sep.refiner.times(count, settings.get("start"))  # refuses what cannot be before the work begins
    identity = DlibIdentity() if args.identity == "dlib" else None
    perceptual = StLpips.from_file(args.st_lpips) if args.st_lpips else None
    rows = refinement.curve(
        sep, photos, calls, perceptual, identity, lambda done: progress(done, len(photos)), **settings
    )
    report = {
        "command": command(sys.argv),
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(args.device),
        "photos": len(photos),
        "rows": rows,
    }
    if args.frames:
        codes = sep.encode(next(iter(photos)).aligned)
        frames = list(sep.orbit(codes, frames=args.frames, yaw=20.0))
        report["flicker"] = refinement.video_flicker(
            sep.refiner, frames, steps=min(calls, key=lambda c: abs(c - 8)), **settings
        )
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if args.plot:
        plots.refinement(rows, args.plot, "Refinement")
    if args.pictures:
        shown = sheet.first(options.open_shards(args, limited=False)[1], args.people)
        page = sheet.contact_sheet(refinement.strips(sep, shown, calls, **settings), sheet.credits_of(shown))
        write_image(note_refined(page), args.pictures, quality=88)
    for row in rows:
        print(f"{row.pop('picture')}:", ", ".join(f"{name} {value:.4g}" for name, value in row.items()))
    if args.frames:
        print("flicker:", ", ".join(f"{name} {value:.5f}" for name, value in report["flicker"].items()))


if __name__ == "__main__":
    sys.exit(main())
