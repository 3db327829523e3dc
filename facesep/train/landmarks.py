"""Fits a checkpoint's landmark head: ``python train/landmarks.py --portraits FOLDER --checkpoint FOLDER``.

Takes a portraits folder (photos with 478 landmarks each), encodes its train photos, fits the head by ridge
regression, writes it into the checkpoint as ``landmarks/`` and prints its errors on the val photos.
"""

from __future__ import annotations

import argparse
import json

import torch

from facesep.checkpoint import add_part
from facesep.data.portraits import PortraitSource
from facesep.errors import FaceSepError
from facesep.model import FaceSep
from facesep.training.landmarks import PARTS, errors, fit_landmarks, read_samples


def main() -> None:
    """Parses arguments, fits and writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--portraits", required=True, help="folder with index.csv and landmarks.npz")
    parser.add_argument("--checkpoint", required=True, help="folder of the checkpoint to add the head to")
    parser.add_argument("--without", nargs="*", default=[], metavar="SET", help="sets that are left out")
    arguments = parser.parse_args()
    try:
        sep = FaceSep.from_pretrained(arguments.checkpoint)
        source = PortraitSource(arguments.portraits)
        train, val = (
            read_samples(sep.encode, source, sep.image_size, split, arguments.without)
            for split in ("train", "val")
        )
        head = fit_landmarks(train)
        add_part(arguments.checkpoint, "landmarks", head.state_dict(), torch.float16)
    except FaceSepError as error:
        parser.exit(1, f"landmarks.py: {error}\n")
    print(json.dumps({"train": len(train), "val": len(val), "errors": errors(head, val, PARTS)}, indent=2))


if __name__ == "__main__":
    main()
