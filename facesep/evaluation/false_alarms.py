"""How often the watermark is found where there is none: on photos, and on random cuts of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from facesep import watermark
from facesep.errors import DataError, ImageError
from facesep.images import load_image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SMALLEST_CUT = 0.4
"""Least side of a random cut as a share of the photo's side."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Count:
    """What was looked at and what was found.

    Attributes:
        photos: files that could be read.
        pictures: photos and cuts that were large enough for a watermark.
        looks: pictures times keys.
        alarms: looks that found a watermark.
        found: names of the files with alarms.
    """

    photos: int
    pictures: int
    looks: int
    alarms: int
    found: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Alarms per look."""
        return self.alarms / max(self.looks, 1)

    def at_most(self, confidence: float = CONFIDENCE) -> float:
        """Upper end of the exact one-sided interval of the rate (Clopper and Pearson, 1934)."""
        if self.alarms >= self.looks:
            return 1.0
        low, high = self.rate, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _at_most(self, middle) > 1 - confidence else (low, middle)
        return high


def files(folder: str | Path) -> list[Path]:
    """Pictures in a folder and below, sorted.

    Raises:
        DataError: if there are none.
    """
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"there are no pictures ({', '.join(SUFFIXES)}) in {folder}: name another folder")
    return found


def count(
    paths: Sequence[Path],
    *,
    cuts: int = 0,
    keys: int = 1,
    search: bool = False,
    seed: int = 0,
    workers: int = 1,
    on_photo: Callable[[int, Count], object] | None = None,
) -> Count:
    """Looks for watermarks in unmarked photos.

    Args:
        paths: the files; what is no usable picture is left out.
        cuts: random cuts of each photo that are looked at, too.
        keys: keys that each picture is looked at with, the one in use first. An unmarked picture knows none
            of them, so each is a trial of its own, and further ones cost little.
        search: also search scales, as ``facesep verify`` does; about a hundred times slower.
        seed: of the cuts; together with the file's name it fixes them.
        workers: processes.
        on_photo: called with the number of files done and what was found so far.

    Raises:
        DataError: for less than one key.
    """
    if keys < 1:
        raise DataError(f"pictures are looked at with at least one key, not {keys}")
    jobs = [(path, cuts, keys, search, seed) for path in paths]
    photos = pictures = alarms = 0
    found = []
    with ProcessPoolExecutor(workers) as pool:
        for done, (path, result) in enumerate(zip(paths, pool.map(_look, jobs, chunksize=4), strict=True), 1):
            photos += result[0] > 0
            pictures += result[0]
            alarms += result[1]
            found += [path.name] * result[1]
            if on_photo is not None:
                on_photo(done, Count(photos, pictures, pictures * keys, alarms, tuple(found)))
    return Count(photos, pictures, pictures * keys, alarms, tuple(found))


def _look(job: tuple[Path, int, int, bool, int]) -> tuple[int, int]:
    """Pictures of one file that were looked at, and alarms among them."""
    path, cuts, keys, search, seed = job
    try:
        image = load_image(path)
    except ImageError:
        return 0, 0
    looked = [one for one in (image, *_cuts(image, cuts, path.name, seed)) if _has_room(one)]
    names = [watermark.KEY, *(f"{watermark.KEY}-{number}" for number in range(1, keys))]
    found = [watermark.detect_each(one, names, search=search) for one in looked]
    return len(looked), sum(detection is not None for each in found for detection in each)


def _cuts(image: Image.Image, number: int, name: str, seed: int) -> Iterator[Image.Image]:
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    for _ in range(number):
        width, height = (
            max(1, round(side * share))
            for side, share in zip(image.size, random.uniform(SMALLEST_CUT, 1, 2), strict=True)
        )
        left, top = (
            int(random.integers(0, side - cut + 1))
            for side, cut in zip(image.size, (width, height), strict=True)
        )
        yield image.crop((left, top, left + width, top + height))


def _has_room(image: Image.Image) -> bool:
    return min(image.size) >= watermark.MIN_SIDE and max(image.size) <= watermark.MAX_ASPECT * min(image.size)


def _at_most(count: Count, rate: float) -> float:
    """Probability of at most as many alarms as were counted if the rate is this one (binomial)."""
    logs = np.log([rate, 1 - rate]) if 0 < rate < 1 else np.array([-np.inf, 0.0])
    total = term = count.looks * logs[1]
    for alarms in range(count.alarms):
        term += np.log((count.looks - alarms) / (alarms + 1)) + logs[0] - logs[1]
        total = np.logaddexp(total, term)
    return float(np.exp(total))
