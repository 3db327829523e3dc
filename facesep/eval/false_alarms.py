"""How often the watermark is found on photos that carry none.

Examples:
    python eval/false_alarms.py --photos photos/ --cuts 2 --keys 8 --workers 2
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from facesep.evaluation.false_alarms import CONFIDENCE, Count, count, files
from facesep.evaluation.runner import new_parser, run_script


def main() -> int:
    """Parses the arguments, measures, reports."""
    parser = new_parser(__doc__)
    parser.add_argument("--photos", required=True, help="folder of photos that facesep did not make")
    parser.add_argument("--cuts", type=int, default=0, help="random cuts of each that are looked at, too")
    parser.add_argument("--keys", type=int, default=1, help="keys for each picture, the one in use first")
    parser.add_argument("--limit", type=int, help="only so many photos, spread over the folder")
    parser.add_argument("--seed", type=int, default=0, help="of the cuts")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--out", help="JSON file to write")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Measures and reports."""
    paths = files(args.photos)
    if args.limit:
        paths = paths[:: max(1, len(paths) // args.limit)][: args.limit]

    def said(done: int, so_far: Count) -> None:
        if done % 100 == 0:
            counted = f"{so_far.alarms} alarms in {so_far.looks} looks"
            print(f"{done}/{len(paths)}: {counted}", file=sys.stderr, flush=True)

    options = {"cuts": args.cuts, "keys": args.keys, "seed": args.seed}
    found = count(paths, **options, workers=args.workers, on_photo=said)
    report = {
        "photos": found.photos,
        "pictures": found.pictures,
        "looks": found.looks,
        "alarms": found.alarms,
        "rate": found.rate,
        f"at most ({CONFIDENCE:.0%} confidence)": found.at_most(),
        "predicted from all peaks": found.predicted(),
        "highest peak": max(found.peaks, default=0.0),
        "found": found.found,
        **options,
    }
    text = json.dumps(report, indent=2)
    if args.out:
        Path(args.out).write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
