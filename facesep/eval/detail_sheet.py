"""A picture of what photo detail does, on the bundled example photos or on others.

Examples:
    python eval/detail_sheet.py --out docs/images/detail.jpg
    python eval/detail_sheet.py --limits --out docs/images/detail-limits.jpg
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from PIL import Image

from facesep import FaceSep, Portrait
from facesep.demo.examples import FOLDER
from facesep.errors import FaceSepError
from facesep.provenance import write_image

SIDE = 256


def main() -> int:
    """Parses the arguments and writes the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="*", help="at least two (default: the bundled examples)")
    parser.add_argument("--checkpoint", help="folder or user/repo (default: the bundled one)")
    parser.add_argument("--limits", action="store_true", help="show what it cannot do instead")
    parser.add_argument("--out", required=True, help="picture to write")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    photos = args.photos or sorted(FOLDER.glob("*.jpg"))
    if len(photos) < 2:
        parser.error("at least two photos are needed: each takes from the next")
    try:
        sep = FaceSep.from_pretrained(args.checkpoint)
        portraits = [sep.portrait(photo) for photo in photos]
        make = limits if args.limits else row
        rows = [make(sep, one, portraits[(k + 1) % len(portraits)]) for k, one in enumerate(portraits)]
        sheet = Image.new("RGB", (SIDE * len(rows[0]), SIDE * len(rows)), "white")
        for y, pictures in enumerate(rows):
            for x, picture in enumerate(pictures):
                sheet.paste(picture, (SIDE * x, SIDE * y))
        print(write_image(sheet, Path(args.out)))
    except FaceSepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def row(sep: FaceSep, face: Portrait, donor: Portrait) -> list[Image.Image]:
    """Photo, render, turned heads, and four attributes of the donor in the photo."""
    frame = face.frames[0]

    def window(image: Image.Image) -> Image.Image:
        return frame.crop.apply(image, SIDE)

    kept = [
        window(sep.render(face.swap(donor, attribute), background="keep"))
        for attribute in ("expression", "hair", "texture", "illumination")
    ]
    return [
        window(frame.photo),
        sep.render(face, size=SIDE, detail=False),
        *(sep.render(face, yaw=yaw, size=SIDE) for yaw in (-30, -15, 15, 30)),
        *kept,
    ]


def limits(sep: FaceSep, face: Portrait, donor: Portrait) -> list[Image.Image]:
    """Photo, heads turned far, and hair of the donor with and without its photo."""
    frame = face.frames[0]

    def window(image: Image.Image) -> Image.Image:
        return frame.crop.apply(image, SIDE)

    return [
        window(frame.photo),
        *(sep.render(face, yaw=yaw, size=SIDE) for yaw in (-40, 40)),
        *(window(sep.render(face.swap(one, "hair"), background="keep")) for one in (donor, donor.codes)),
    ]


if __name__ == "__main__":
    sys.exit(main())
