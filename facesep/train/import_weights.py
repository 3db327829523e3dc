r"""Turns official weight files of other projects into facesep's.

One network::

    python train/import_weights.py adaface adaface_ir50_ms1mv2.ckpt --out weights

The paper's whole model::

    python train/import_weights.py paper --adaface adaface_ir50_ms1mv2.ckpt --deep3d epoch_20.pth \
        --ctrlhair 0500000.ckpt --bisenet 79999_iter.pth --headnerf model_Reso32HR.pth --out checkpoint

DifFace as a refiner::

    python train/import_weights.py refiner --unet iddpm_ffhq512_ema500000.pth \
        --estimator swinir_restoration512_L1.pth --out refiner

docs/checkpoints.md says where the files come from and what their licences allow.
"""

from __future__ import annotations

import argparse
import sys

from facesep.errors import FaceSepError
from facesep.importers import ORIGINS, import_file
from facesep.importers.paper import assemble
from facesep.importers.refiner import assemble_refiner


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="origin", required=True, metavar="ORIGIN")
    for name, module in ORIGINS.items():
        one = commands.add_parser(name, help=module.TITLE)
        one.add_argument("files", nargs="+", metavar="FILE")
        one.add_argument("--out", required=True, help="folder for the imported networks")
        if name == "adaface":
            one.add_argument("--colour", choices=("rgb", "bgr"), help="what the weights were trained on")
    paper = commands.add_parser("paper", help="the paper's whole model as a facesep checkpoint")
    for name in ("adaface", "deep3d", "ctrlhair"):
        paper.add_argument(f"--{name}", required=True, metavar="FILE", help=ORIGINS[name].TITLE)
    paper.add_argument("--bisenet", metavar="FILE", help="face parser (default: facexlib's, if downloaded)")
    paper.add_argument("--headnerf", metavar="FILE", help="decoder to start from (default: untrained)")
    paper.add_argument("--image-size", type=int, default=1024, help="1024 (default), 512 or 256")
    paper.add_argument("--colour", choices=("rgb", "bgr"), help="what the AdaFace weights were trained on")
    paper.add_argument("--out", required=True, help="folder of the checkpoint")
    refiner = commands.add_parser("refiner", help="DifFace as a refiner in diffusers' layout")
    refiner.add_argument("--unet", required=True, metavar="FILE", help="iddpm_ffhq512_ema500000.pth")
    refiner.add_argument("--estimator", required=True, metavar="FILE", help="swinir_restoration512_L1.pth")
    refiner.add_argument("--out", required=True, help="folder of the refiner")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    options = parse(arguments)
    try:
        if options.origin == "paper":
            notes = assemble(
                options.out,
                options.adaface,
                options.deep3d,
                options.ctrlhair,
                options.bisenet,
                options.headnerf,
                image_size=options.image_size,
                colour=options.colour,
            )
            print(f"wrote the checkpoint {options.out}", *(f"  {note}" for note in notes), sep="\n")
        elif options.origin == "refiner":
            assemble_refiner(options.out, options.unet, options.estimator)
            print(f"wrote the refiner {options.out}")
        else:
            extra = {"colour": options.colour} if options.origin == "adaface" else {}
            for file in options.files:
                path, network = import_file(options.origin, file, options.out, **extra)
                print(f"{file} -> {path}", *(f"  {note}" for note in network.notes), sep="\n")
    except FaceSepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
