r"""Photos -> shards of canonical crops: ``python train/prepare_data.py SOURCE FOLDER --out DIR``.

Sources: folder (any photos), ffhq, celebamask (with its own masks), affectnet (with its labels and boxes),
portraits (with landmarks and label maps). The layout that each expects stands in docs/training.md.

Examples:
    python train/prepare_data.py portraits PORTRAITS --out data/portraits --size 256
    python train/prepare_data.py ffhq FFHQ --parser bisenet --weights WEIGHTS --out data/ffhq \
        --size 1024 --small 256 --workers 16
"""

from __future__ import annotations

import argparse
import sys

from facesep.data.affectnet import AffectNetSource
from facesep.data.aligned import CelebAMaskSource, FfhqSource
from facesep.data.labels import CLASS_ORDERS, CelebAMaskMaps, choose_maps
from facesep.data.photos import VAL_SHARE, FolderSource
from facesep.data.portraits import PortraitSource
from facesep.data.prepare import SHARD_SAMPLES, prepare
from facesep.data.source import Source
from facesep.errors import ConfigError
from facesep.faces.alignment import DETECTORS
from facesep.faces.parsing import PARSERS
from facesep.training.script import Progress, new_parser, run_script

SOURCES = {
    "folder": FolderSource,
    "ffhq": FfhqSource,
    "celebamask": CelebAMaskSource,
    "affectnet": AffectNetSource,
    "portraits": PortraitSource,
}


def main() -> None:
    """Parses the arguments and runs the job."""
    parser = new_parser(__doc__)
    parser.add_argument("source", choices=SOURCES, help="kind of the photo folder")
    parser.add_argument("folder", help="the photo folder")
    parser.add_argument("--out", required=True, help="folder for the shards; finished shards are kept")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in pixels")
    parser.add_argument("--small", type=int, default=0, help="side of a smaller copy in OUT/small")
    parser.add_argument("--workers", type=int, default=1, help="processes of this machine")
    parser.add_argument("--cluster", metavar="ADDRESS", help="Dask scheduler whose workers do it, or local")
    parser.add_argument("--shard-samples", type=int, default=SHARD_SAMPLES, help="photos in a shard")
    parser.add_argument("--white", action="store_true", help="keep only the head, on white")
    maps = parser.add_argument_group("label maps (folder, ffhq, affectnet)")
    maps.add_argument("--parser", choices=PARSERS, help="bundled, or facexlib's, which need their weights")
    maps.add_argument("--weights", help="folder of the parser's and the detector's official weights")
    maps.add_argument("--labels", help="folder of given label maps, NAME.png for each photo")
    maps.add_argument("--label-classes", choices=CLASS_ORDERS, default="celebamask")
    found = parser.add_argument_group("faces and accessories (all but portraits)")
    found.add_argument("--detector", choices=DETECTORS, default="bundled")
    found.add_argument(
        "--accessories",
        choices=("mask", "reject"),
        default="mask",
        help="hats, earrings, necklaces: keep these pixels out of the head, or leave such photos out",
    )
    found.add_argument("--val-share", type=float, default=VAL_SHARE, help="where the set has no split")
    try:
        run_script(parser, run, status=2)
    except KeyboardInterrupt:
        print("\nstopped: the same command goes on from the last finished shard", file=sys.stderr)
        sys.exit(130)


def run(args: argparse.Namespace) -> None:
    """Prepares the photos and says how many could be used."""
    report = prepare(
        build_source(args),
        args.out,
        size=args.size,
        workers=args.workers,
        shard_samples=args.shard_samples,
        progress=Progress(),
        small=args.small,
        white=args.white,
        cluster=args.cluster,
    )
    print(f"{report['samples']} of {report['photos']} photos in {args.out}; rejected: {report['rejects']}")
    if report["rejects"]:
        print(f"the rejected photos: {args.out}/report.json, a sheet of them: {args.out}/rejects.jpg")


def build_source(args: argparse.Namespace) -> Source:
    """The source with its label maps."""
    if args.source in ("portraits", "celebamask") and (args.parser or args.labels):
        raise ConfigError(f"{args.source} photos bring their own label maps: leave out --parser and --labels")
    if args.source == "portraits":
        return PortraitSource(args.folder)
    if args.source == "celebamask":
        maps = CelebAMaskMaps(f"{args.folder}/CelebAMask-HQ-mask-anno")
    else:
        maps = choose_maps(args.parser, args.weights, args.labels, args.label_classes)
    rejecting = args.accessories == "reject"
    return SOURCES[args.source](args.folder, maps, args.detector, args.weights, rejecting, args.val_share)


if __name__ == "__main__":
    main()
