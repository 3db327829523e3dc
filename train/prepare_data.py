"""Photos -> shards of canonical crops: ``python train/prepare_data.py portraits FOLDER --out DIR``."""

from __future__ import annotations

import argparse
import sys

from facesep.data.portraits import PortraitSource
from facesep.data.prepare import SHARD_SAMPLES, prepare
from facesep.errors import FaceSepError

SOURCES = {"portraits": PortraitSource}


def main() -> int:
    """Parses the arguments and runs the job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", choices=sorted(SOURCES), help="kind of the photo folder")
    parser.add_argument("folder", help="the photo folder")
    parser.add_argument("--out", required=True, help="folder for the shards; finished shards are kept")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in pixels")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--shard-samples", type=int, default=SHARD_SAMPLES, help="photos in a shard")
    args = parser.parse_args()
    try:
        report = prepare(
            SOURCES[args.source](args.folder),
            args.out,
            size=args.size,
            workers=args.workers,
            shard_samples=args.shard_samples,
            progress=lambda done, total: print(f"shard {done}/{total}", flush=True),
        )
    except FaceSepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{report['samples']} of {report['photos']} photos in {args.out}; rejected: {report['rejects']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
