"""The paper's picture grids: single transfers (3), hair at other views (4), methods side by side (5).

Examples:
    python eval/figures.py --shards data/portraits --renders "per-image fitting=fitted" --out figures
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from facesep.data.heads import Photo
from facesep.errors import DataError
from facesep.evaluation import figures, options
from facesep.evaluation.runner import new_parser, run_script
from facesep.evaluation.sheet import choose, contact_sheet, credits_of, may_be_shown
from facesep.provenance import write_image


def main() -> int:
    """Parses the arguments and draws."""
    parser = new_parser(__doc__)
    options.add_checkpoints(parser)
    options.add_data(parser)
    options.add(parser, *options.RENDERS)
    parser.add_argument("--people", type=int, default=6, help="rows, when no names are given")
    parser.add_argument("--names", help="exactly these photos, separated by commas")
    parser.add_argument(
        "--any-licence",
        action="store_true",
        help="also photos of which no licence is known that lets show them",
    )
    parser.add_argument("--cell", type=int, default=128, help="side of a picture in pixels")
    options.add(parser, "device")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for figure3.jpg to figure5.jpg")
    parser.set_defaults(partial=True)
    return run_script(parser, run)


def run(args: argparse.Namespace) -> None:
    """Draws the three figures."""
    models = options.open_models(options.named(args.checkpoint), args.device)
    sep = next(iter(models.values()))
    photos = options.open_photos(args, sep)
    renders = options.open_renders(args, photos)
    chosen = rows_of(args, photos, renders)
    known = all(photo.meta.get("licence") for photo in chosen)
    credit = credits_of(chosen) if known else "All pictures but the photos are renders."
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for number, rows in (
        (3, figures.strips(sep, chosen, figures.FIGURE_3, ())),
        (4, figures.hair_views(sep, chosen)),
        (5, figures.methods(models, chosen, renders)),
    ):
        path = write_image(contact_sheet(rows, credit, args.cell), out / f"figure{number}.jpg", quality=90)
        print(path)


def rows_of(args: argparse.Namespace, photos: options.Photos, renders: list) -> list[Photo]:
    """The people of the rows; those that every other method has a picture of come first."""
    names = args.names.split(",") if args.names else None
    found = sorted(photos, key=lambda photo: any(one.path(photo.name) is None for one in renders))
    if not args.any_licence:
        people = len({photo.person for photo in found if may_be_shown(photo)})
        if names is None and people < 2:
            raise DataError(
                "fewer than two people may be shown by their licence: --any-licence shows any photo"
            )
        return choose(found, min(args.people, people), names)
    if names is None:
        people = {photo.person: photo for photo in reversed(found)}
        return list(people.values())[-args.people :][::-1]
    by_name = {photo.name: photo for photo in found}
    if missing := [name for name in names if name not in by_name]:
        raise DataError(f"{', '.join(missing)}: not among the photos")
    return [by_name[name] for name in names]


if __name__ == "__main__":
    sys.exit(main())
