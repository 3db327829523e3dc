"""How often the watermark is found where there is none: on photos, their mirror images, and cuts of them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from facesep import first_watermark, watermark
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
        pictures: photos, mirror images and cuts that were large enough for a watermark.
        looks: pictures times keys.
        alarms: looks that found a watermark.
        found: names of the files with alarms.
        peaks: the highest peak of each look.
    """

    photos: int
    pictures: int
    looks: int
    alarms: int
    found: tuple[str, ...] = ()
    peaks: tuple[float, ...] = field(default=(), repr=False, compare=False)

    @property
    def rate(self) -> float:
        """Alarms per look."""
        return self.alarms / max(self.looks, 1)

    def predicted(self) -> float:
        """Rate of alarms that the peaks foretell.

        Phases of an unmarked picture are random, so each place of a search is nearly Gaussian and its peak
        the highest of so many Gaussian numbers; the median peak says how many.
        """
        number = math.log(2) / _tail(float(np.median(self.peaks)))
        return -math.expm1(-number * _tail(watermark.THRESHOLD))

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
    """Pictures in a folder and below, sorted; label maps (``NAME.label.png``) are none.

    Raises:
        DataError: if there are none.
    """
    found = sorted(
        path
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.endswith(".label.png")
    )
    if not found:
        raise DataError(f"there are no pictures ({', '.join(SUFFIXES)}) in {folder}: name another folder")
    return found


def count(
    paths: Sequence[Path],
    *,
    cuts: int = 0,
    keys: int = 1,
    seed: int = 0,
    workers: int = 1,
    on_photo: Callable[[int, Count], object] | None = None,
) -> Count:
    """Looks for watermarks in unmarked photos.

    Args:
        paths: the files; what is no usable picture is left out.
        cuts: random cuts of each photo that are looked at, too; every other one is mirrored.
        keys: keys that each picture is looked at with, the one in use first. An unmarked picture knows none
            of them, so each is a trial of its own, and further ones cost little.
        seed: of the cuts; together with the file's name it fixes them.
        workers: processes.
        on_photo: called with the number of files done and what was found so far.

    Raises:
        DataError: for less than one key.
    """
    if keys < 1:
        raise DataError(f"pictures are looked at with at least one key, not {keys}")
    jobs = [(path, cuts, keys, seed) for path in paths]
    photos = pictures = 0
    found, peaks = [], []
    with ProcessPoolExecutor(workers) as pool:
        for done, (path, result) in enumerate(zip(paths, pool.map(_look, jobs, chunksize=4), strict=True), 1):
            photos += bool(result)
            pictures += len(result)
            alarms = [peak for each in result for peak in each if peak >= watermark.THRESHOLD]
            found += [path.name] * len(alarms)
            peaks += [peak for each in result for peak in each]
            if on_photo is not None:
                on_photo(done, Count(photos, pictures, pictures * keys, len(found), tuple(found)))
    return Count(photos, pictures, pictures * keys, len(found), tuple(found), tuple(peaks))


def _look(job: tuple[Path, int, int, int]) -> list[list[float]]:
    """For each picture of a file the highest peak with each key; infinite where the first mark is read."""
    path, cuts, keys, seed = job
    try:
        image = load_image(path)
    except ImageError:
        return []
    names = [watermark.KEY, *(f"{watermark.KEY}-{number}" for number in range(1, keys))]
    found = []
    for one in (image, *_cuts(image, cuts, path.name, seed)):
        if min(one.size) >= watermark.MIN_SIDE:
            peaks = [match.peak if match else 0.0 for match in watermark.best_matches(one, names)]
            found.append([np.inf if first_watermark.read(one) is not None else peaks[0], *peaks[1:]])
    return found


def _cuts(image: Image.Image, number: int, name: str, seed: int) -> Iterator[Image.Image]:
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    for index in range(number):
        width, height = (
            max(1, round(side * share))
            for side, share in zip(image.size, random.uniform(SMALLEST_CUT, 1, 2), strict=True)
        )
        left, top = (
            int(random.integers(0, side - cut + 1))
            for side, cut in zip(image.size, (width, height), strict=True)
        )
        one = image.crop((left, top, left + width, top + height))
        yield one if index % 2 else ImageOps.mirror(one)


def _tail(height: float) -> float:
    """Probability of a Gaussian number above so many standard deviations."""
    return math.erfc(height / math.sqrt(2)) / 2


def _at_most(count: Count, rate: float) -> float:
    """Probability of at most as many alarms as were counted if the rate is this one (binomial)."""
    logs = np.log([rate, 1 - rate]) if 0 < rate < 1 else np.array([-np.inf, 0.0])
    total = term = count.looks * logs[1]
    for alarms in range(count.alarms):
        term += np.log((count.looks - alarms) / (alarms + 1)) + logs[0] - logs[1]
        total = np.logaddexp(total, term)
    return float(np.exp(total))
