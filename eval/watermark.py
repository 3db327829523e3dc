"""What the watermark survives, and what it costs: a table over photos.

Example:
    python eval/watermark.py --photos photos/ --limit 40
"""

from __future__ import annotations

import argparse
import sys

from facesep import FaceSepError
from facesep.evaluation.false_alarms import files
from facesep.evaluation.robustness import SIZES, survival
from facesep.images import load_image


def main() -> int:
    """Parses the arguments, measures, prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", required=True, help="folder of photos")
    parser.add_argument("--limit", type=int, default=40, help="only so many, spread over the folder")
    args = parser.parse_args()
    try:
        paths = files(args.photos)
        photos = [load_image(path) for path in paths[:: max(1, len(paths) // args.limit)][: args.limit]]
    except FaceSepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def said(done: int) -> None:
        print(f"{done}/{len(photos)}", file=sys.stderr, flush=True)

    columns = [survival(photos, size, said) for size in SIZES]
    print(f"{len(photos)} photos")
    print("| change | " + " | ".join(f"{size} px" for size in SIZES) + " |")
    print("|---|" + "---|" * len(SIZES))
    for name in columns[0][1]:
        print(f"| {name} | " + " | ".join(f"{100 * shares[name]:.0f} %" for _, shares in columns) + " |")
    print("| lowest PSNR of a marked picture | " + " | ".join(f"{low:.1f} dB" for low, _ in columns) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
