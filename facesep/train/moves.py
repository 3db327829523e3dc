"""Finds moves that have names in a checkpoint, measures them on other people, and stores those that hold.

A move is stored when one unit of it moves its property by at least 0.1 typical differences between two
people, and no other by more than 0.6 of that (``facesep.analysis.moves``). The table has all that were looked
for. The checkpoint gets ``moves.json``; its weights stay.

Example:
    python train/moves.py runs/last/checkpoint --shards data/portraits --photos portraits
"""

from __future__ import annotations

import argparse
from collections.abc import Container
from pathlib import Path

import torch

from facesep.analysis.moves import COUNTS, WANTED, as_json, fit, respond, response, table
from facesep.checkpoint import add_json
from facesep.codes import Codes
from facesep.data.heads import ShardPhotos, spread
from facesep.detail.portrait import Portrait
from facesep.errors import FaceError
from facesep.model import FaceSep
from facesep.moves import FILE
from facesep.training.script import Progress, new_parser, run_script

BATCH = 32


def main() -> None:
    """Parses arguments, fits, measures and writes."""
    parser = new_parser(__doc__, "shards")
    parser.add_argument("checkpoint", help="folder of a checkpoint with a landmark head")
    parser.add_argument("--photos", required=True, help="folder of the photos that the shards were made from")
    parser.add_argument("--without", nargs="*", default=[], metavar="SET", help="sets that are left out")
    parser.add_argument("--people", type=int, default=12, help="photos of the split val that are moved")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of renders")
    run_script(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Fits, measures and writes."""
    sep = FaceSep.from_pretrained(arguments.checkpoint)
    without, counts = set(arguments.without), {k: round(arguments.share * n) for k, n in COUNTS.items()}
    moves, typical = fit(sep, read_codes(sep, arguments.shards, without), counts, Progress("renders"))
    people = read_people(sep, arguments.shards, arguments.photos, without, arguments.people)
    rows, bar = [], Progress("moves")
    for wanted, found in zip(WANTED, moves, strict=True):
        rows.append((found, response(wanted, respond(sep, found, people, typical))))
        bar(len(rows), len(moves))
    add_json(arguments.checkpoint, FILE, as_json(rows))
    print(table(rows))
    kept = sum(seen.offered for _, seen in rows)
    print(f"wrote {kept} of {len(rows)} moves, measured on {len(people)} photos")


def read_codes(sep: FaceSep, shards: str | Path, without: Container[str]) -> Codes:
    """Codes of the photos of the split train, in random order."""
    photos = ShardPhotos(shards, "train", sep.image_size)
    places = [k for k in range(len(photos)) if photos.shards.meta(photos.rows[k]).get("set") not in without]
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(1))
    places = [places[k] for k in order.tolist()]
    parts = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
    return Codes.stack([sep.encode([photos.read(k).aligned for k in part]) for part in parts])


def read_people(
    sep: FaceSep, shards: str | Path, folder: str | Path, without: Container[str], count: int
) -> list[Portrait]:
    """Portraits of other people: photos of the split val, taken evenly."""
    photos = ShardPhotos(shards, "val", sep.image_size, folder)
    places = [k for k in range(len(photos)) if photos.shards.meta(photos.rows[k]).get("set") not in without]
    people = []
    for k in spread(len(places), count):
        try:
            people.append(sep.portrait(photos.path(places[k]), keep=False))
        except FaceError:
            continue
    return people


if __name__ == "__main__":
    main()
