"""Pairs of drafts and photos on disk, see ``facesep.detail.round_trip``."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.data.portraits import PortraitSource
from facesep.data.source import RejectError
from facesep.detail.portrait import Frame, Portrait
from facesep.detail.round_trip import KINDS, round_trip
from facesep.detail.source import read_source
from facesep.errors import DataError
from facesep.faces.crop import Crop
from facesep.faces.types import Aligned
from facesep.images import to_tensor
from facesep.model import FaceSep
from facesep.nets.finish import Draft

SIZE = 384
"""Side of the pairs in pixels: a little more than their photos have."""
PLACES = 64
"""Cells along a side of the fields of places that are kept."""
Progress = Callable[[int, int], object]


def write_pair(path: Path, draft: Draft, colours: Tensor, matte: Tensor) -> None:
    """Writes a pair as bytes: channels in the order of ``Draft``, then the truth's four."""
    pixels = torch.cat((*draft[:-1], colours, matte), 1)[0].clamp(0, 1)
    points = F.adaptive_avg_pool2d(draft.points, PLACES)[0]
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez(
            file,
            pixels=(pixels * 255).round().byte().permute(1, 2, 0).numpy(),
            points=points.half().permute(1, 2, 0).numpy(),
        )
    os.replace(part, path)


def names_of(source: PortraitSource, split: str, without: Sequence[str]) -> list[str]:
    """Sharp photos of a split, in a fixed random order."""
    excluded = source.excluded()
    names = [
        name
        for name in source.names()
        if source.facts(name)["split"] == split
        and name.partition("/")[0] not in without
        and name not in excluded
        and source.facts(name)["good_at_256"] == "1"
    ]
    random.Random(0).shuffle(names)
    return names


def prepare(
    sep: FaceSep,
    portraits: str | Path,
    folder: str | Path,
    split: str,
    count: int,
    without: Sequence[str] = (),
    on_pair: Progress | None = None,
) -> int:
    """Writes pairs of a portraits folder; those that are there already are kept.

    Args:
        sep: the model whose photo detail makes them.
        portraits: the folder with ``index.csv``.
        folder: receives ``<split>/<number>.npz``.
        split: ``train`` or ``val``.
        count: how many; each photo gives one before any gives a second.
        without: names of sets that are left out.
        on_pair: called with the numbers of pairs done and to do.

    Returns:
        How many there are; photos that cannot be used give none.

    Raises:
        DataError: for a split with less than two sharp photos.
    """
    source, target = PortraitSource(portraits), Path(folder) / split
    names = names_of(source, split, without)
    if len(names) < 2:
        raise DataError(f"{portraits} has less than two sharp photos for {split}: pairs need donors")
    target.mkdir(parents=True, exist_ok=True)

    @lru_cache(maxsize=4)
    def read(name: str) -> Portrait | None:
        try:
            photo = source.prepare(name, SIZE)
        except RejectError:
            return None
        codes = sep.encode(Aligned.of_crop(photo.image, np.asarray(photo.meta["points5"])))
        base = read_source(sep.decoder, codes.batch(), to_tensor(photo.image)[None])
        return Portrait(codes, base, (Frame(Crop(*photo.meta["crop"]), None),))

    for number in range(count):
        path = target / f"{number:05d}.npz"
        if not path.exists():
            turn, place = divmod(number, len(names))
            portrait, donor = read(names[place]), read(names[(place + 1 + 7 * turn) % len(names)])
            if portrait is not None and donor is not None:
                draw = random.Random(f"{split} {number}")
                kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
                write_pair(path, *round_trip(sep, portrait, donor, kind, draw, SIZE))
        if on_pair:
            on_pair(number + 1, count)
    return len(files(folder, split))


def files(folder: str | Path, split: str) -> list[Path]:
    """The pairs of a split, by their numbers."""
    return sorted((Path(folder) / split).glob("*.npz"))


def read_pair(path: Path) -> dict[str, Any]:
    """``pixels`` (``uint8[S, S, 17]``) and ``points`` (``float16[n, n, 3]``) of a file.

    Raises:
        DataError: if it is damaged.
    """
    try:
        with np.load(path) as file:
            return {name: file[name] for name in ("pixels", "points")}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged: delete it and prepare again") from error
