"""Every table and figure of a checkpoint in one go; a stopped run goes on where it was.

Examples:
    python eval/all.py --shards data/portraits --st-lpips st_vgg.safetensors --lpips none --out report
    python eval/all.py --checkpoint user/repo@v1 --photos my/photos --parser bisenet --parser-weights weights
        --estimator deep3d=weights/rnet.safetensors --out report
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from facesep import ConfigError
from facesep.evaluation import everything, options
from facesep.evaluation.runner import new_parser, run_script


def main() -> int:
    """Parses the arguments and runs the scripts."""
    parser = new_parser(__doc__)
    options.add(parser, "checkpoint")
    options.add_data(parser)
    options.add_measures(parser)
    options.add(parser, *options.RENDERS)
    parser.set_defaults(estimator="encoder=bundled")
    parser.add_argument("--by", default="set", help="label of the photos for the breakdown of Table 2")
    parser.add_argument(
        "--fit", type=int, default=4, help="photos for the per-image fitting; 0 leaves it out"
    )
    parser.add_argument("--fit-steps", type=int, default=100)
    parser.add_argument("--sets", type=int, default=40, help="of Table 3, for each attribute")
    parser.add_argument("--values", type=int, default=6, help="renders in a set")
    parser.add_argument("--photo", help="for the speed table; a bundled one by default")
    parser.add_argument(
        "--tddfa", metavar="FILE", help="3DDFA_V2's network: adds head poses (needs --labels)"
    )
    parser.add_argument("--masks", metavar="COMMAND", help="a hair mask tool: adds hair transfer")
    parser.add_argument("--any-licence", action="store_true", help="show any photo in the figures")
    parser.add_argument("--processes", type=int, default=1, help="for the long steps, through accelerate")
    options.add(parser, "seed", "device")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the report")
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Runs the scripts."""
    if args.fit < 0 or args.processes < 1:
        raise ConfigError("--fit must be at least 0 and --processes at least 1")
    if (args.tddfa or args.masks) and not args.shards:
        raise ConfigError("--tddfa and --masks measure on prepared shards: give --shards")
    if args.tddfa and not args.labels:
        raise ConfigError("--tddfa needs --labels, the label file of train/analyse.py")
    everything.run_all(Path(__file__).parent, everything.steps(args), args)
    print(f"{args.out}: {everything.REPORT}, {everything.TEXT}, plots and figures")


if __name__ == "__main__":
    sys.exit(main())
