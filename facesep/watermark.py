"""An invisible watermark that says "made by facesep" and survives what happens to pictures on their way.

The mark is one small pattern, repeated over what the model made: a sum of sinusoids between 20 and 58
periods along the side of the marked square, low enough for small copies and strong JPEG, high enough to stay
away from most of a picture's own energy (spread spectrum; Cox, Miller, Bloom, "Digital Watermarking", ch. 3
and 5). Their places in the spectrum are fixed, a key gives their phases. It is as strong as the picture hides
it: a share of the least local contrast around, and nothing on white.

A reader knows neither where the mark is nor at which size. It flattens the picture (band-pass, then division
by the local contrast) and looks at it through square windows of three sizes. In each it asks two questions:

1. At which scale, turn and mirroring are the places of the sinusoids brighter than what is beside them? The
   power spectrum does not depend on where the pattern lies, so sums over it answer for all positions at once.
2. Do the phases there agree with the key's for some position? Their correlation over all positions is one
   inverse FFT. In a picture that was not marked, phases have nothing to do with the key, whatever it shows;
   the height of the peak therefore follows one law for all pictures, and its threshold bounds false alarms.

A watermark says where a picture comes from as long as nobody works on removing it. Whoever reads this file
and has the key can remove or forge it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor
from torch.nn import functional

from facesep.errors import ConfigError

KEY = "facesep"
"""The key that results are marked with."""
MIN_SIDE = 128
"""Smaller pictures have no room for the pattern and are left as they are."""
THRESHOLD = 6.6
"""Least height of the peak of phases, in standard deviations (docs/responsible-use.md)."""

_GRID = 256  # samples along the side of a window, and of the marked square for the writer
_REPEATS = 4  # of the pattern along that side: every place in the spectrum is a multiple of it
_TILE = _GRID // _REPEATS
_LOW, _HIGH, _TONES = 20, 58, 96
_SQUARE = 1.05  # side of the marked square over that of what the model made
_SHARE, _FAINTEST, _STRONGEST = 0.36, 1.3, 6.0  # of the local contrast; grey levels
_WHITE = 252  # from here on nothing is added
_NOISE = 2.0  # grey levels of contrast below which flattening does not amplify
_LEVELS = (1, 1.4, 2, 2.8, 4)  # windows along the short side
_LEAST_SIDE = 64  # of a picture that is looked at
_LEAST_WINDOW = 112
_MOST_SAMPLES = 2**22  # of a level: pictures that are very long are looked at through larger windows alone
_BRIGHTEST = 5.0  # limit of the power of one place, in multiples of what is beside it
_CANDIDATES = 12  # for each level
_PART = 32  # samples within which fine changes of scale and turn do not matter
_SHIFTS = 40  # positions along a side of the pattern


class Detection(NamedTuple):
    """The best match with the pattern.

    Attributes:
        peak: height in standard deviations.
        scale: side of the marked square over that of the window in which it was found.
        turn: degrees, positive clockwise.
        mirrored: whether the picture is its mirror image.
    """

    peak: float
    scale: float
    turn: float
    mirrored: bool


# -- writing ----------------------------------------------------------------------------------------


def embed(image: Image.Image, key: str = KEY, *, where: Image.Image | ArrayLike | None = None) -> Image.Image:
    """Marks a picture.

    Args:
        image: RGB or RGBA; of the latter what is opaque is marked. Below ``MIN_SIDE`` pixels it is
            returned as it is.
        key: readers need the same one.
        where: what the model made of it: a greyscale image or ``[H, W]`` in 0..1 of the same size. Pixels
            where it is 0 stay as they are. None for all of the picture.

    Returns:
        A new image of the same size and mode.

    Raises:
        ConfigError: if ``where`` has another size.
    """
    image = image if image.mode == "RGBA" else image.convert("RGB")
    if image.mode == "RGBA" and where is None:
        where = image.getchannel("A")
    share = None if where is None else _mask(where, image)
    square = min(image.size) if share is None else _square(share, min(image.size))
    if min(image.size) < MIN_SIDE or not square:
        return image.copy()
    pixels = np.array(image)
    shown = torch.from_numpy(np.array(_on_white(image).convert("F")))
    period = max(MIN_SIDE, round(square)) // _REPEATS
    pattern = _cover(_pattern(key, period), shown.shape)
    change = pattern * _resize(_room(_resize(shown, period / _TILE)), shown.shape)
    if share is not None:
        change *= share
    pixels[..., :3] = np.rint(pixels[..., :3] + change.numpy()[..., None]).clip(0, 255)
    return Image.fromarray(pixels, image.mode)


def _mask(where: Image.Image | ArrayLike, image: Image.Image) -> Tensor:
    values = np.array(where.convert("L"), np.float32) / 255 if isinstance(where, Image.Image) else where
    share = torch.from_numpy(np.array(values, np.float32))
    if share.shape != (image.height, image.width):
        sizes = f"{list(share.shape)}, the picture {[image.height, image.width]} (rows, columns)"
        raise ConfigError(f"the mask of what was made is {sizes}: give one of the picture's size")
    return share.clamp(0, 1)


def _square(share: Tensor, most: int) -> float:
    """Side of the square to mark; in steps of half an octave, so that the frames of a video agree."""
    extents = [torch.nonzero(share.amax(dim) > 0).flatten() for dim in (0, 1)]
    if not len(extents[0]):
        return 0.0
    extent = max(int(each[-1] - each[0]) + 1 for each in extents)
    return min(float(most), 2 ** (round(2 * np.log2(_SQUARE * extent)) / 2))


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


@functools.lru_cache(maxsize=8)
def _pattern(key: str, period: int) -> Tensor:
    """One period of the pattern, ``[period, period]`` with a standard deviation of 1."""
    spectrum = torch.zeros(period, period, dtype=torch.complex64)
    rows, columns = _places().T
    spectrum[rows, columns] = _phasors(key)
    return torch.fft.ifft2(spectrum).real * (period**2 * (2 / _TONES) ** 0.5)


def _cover(tile: Tensor, shape: Sequence[int]) -> Tensor:
    rows, columns = (-(-side // len(tile)) for side in shape)
    return tile.repeat(rows, columns)[: shape[0], : shape[1]]


def _room(seen: Tensor) -> Tensor:
    """How large a change hides at each place of a picture on the writer's grid, in grey levels."""
    contrast = _mean((seen - _mean(seen, 7)) ** 2, 7).clamp(min=0).sqrt()
    calm = -functional.max_pool2d(-contrast[None, None], 7, 1, 3)[0, 0]
    return _mean((_SHARE * calm).clamp(_FAINTEST, _STRONGEST), 5) * (seen < _WHITE)


# -- reading ----------------------------------------------------------------------------------------


def detect(images: Image.Image | Sequence[Image.Image], key: str = KEY) -> Detection | None:
    """Looks for a watermark.

    Args:
        images: a picture, or frames of one video.
        key: the key it was written with.

    Returns:
        What was found, or None.
    """
    return detect_each(images, [key])[0]


def detect_each(images: Image.Image | Sequence[Image.Image], keys: Sequence[str]) -> list[Detection | None]:
    """What ``detect`` finds with each of several keys; most of the work is done once for all."""
    return [found if found and found.peak >= THRESHOLD else None for found in best_matches(images, keys)]


def best_matches(images: Image.Image | Sequence[Image.Image], keys: Sequence[str]) -> list[Detection | None]:
    """The highest peak with each key, however low; the search ends when all keys have passed the threshold.

    None for pictures that are too small or too long.
    """
    images = [images] if isinstance(images, Image.Image) else list(images)
    found: list[Detection | None] = [None] * len(keys)
    for windows in _windows([_grey(image) for image in images]):
        for window, cell in _candidates(windows):
            for index, match in enumerate(_match(windows[window], _cells()[cell], keys)):
                found[index] = max(found[index] or match, match)
        if all(each and each.peak >= THRESHOLD for each in found):
            break
    return found


def _grey(image: Image.Image) -> Tensor:
    """Luminance, smaller where there are more pixels than windows have samples."""
    factor = max(1, int(min(image.size) / (_LEVELS[-1] * _GRID)))
    return torch.from_numpy(np.array(image.convert("RGB").reduce(factor).convert("F")))


def _windows(greys: list[Tensor]) -> Iterator[Tensor]:
    """For each size of windows the flattened picture in each, ``[N, 256, 256]``, overlapping by half."""
    height, width = greys[0].shape
    short = min(height, width)
    for level in _LEVELS:
        shape = [max(_GRID, round(side * level * _GRID / short)) for side in (height, width)]
        too_small = short < _LEAST_SIDE or (level > 1 and short < level * _LEAST_WINDOW)
        if too_small or shape[0] * shape[1] > _MOST_SAMPLES:
            return
        flat = sum(_flatten(_resize(grey, shape)) for grey in greys)
        rows, columns = (_starts(side) for side in shape)
        corners = itertools.product(rows, columns)
        yield torch.stack([flat[row : row + _GRID, column : column + _GRID] for row, column in corners])


def _starts(side: int) -> list[int]:
    steps = -(-(side - _GRID) // (_GRID // 2))
    return [round(step * (side - _GRID) / max(steps, 1)) for step in range(steps + 1)]


def _flatten(seen: Tensor) -> Tensor:
    """Band-pass, then division by the local contrast, so that edges do not drown the rest."""
    band = seen - _mean(_mean(seen, 9), 9)
    return band / (_mean(_mean(band**2, 9), 9) + _NOISE**2).sqrt()


class _Cell(NamedTuple):
    """A way in which the pattern may have been changed; the turn is in radians."""

    scale: float
    turn: float
    mirrored: bool

    def frequencies(self) -> np.ndarray:
        """Where the sinusoids are then, ``[K, 2]`` in cycles per sample (row, column)."""
        rows, columns = (_places() * (_REPEATS / _GRID / self.scale)).T
        columns = -columns if self.mirrored else columns
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return np.stack((cosine * rows + sine * columns, cosine * columns - sine * rows), 1)


@functools.cache
def _cells() -> list[_Cell]:
    """What is tried; steps are half the width of a peak in the spectrum of a window."""
    scales = np.exp(np.arange(np.log(0.55), np.log(1.8), 0.016))
    turns = np.radians(np.arange(-8, 9))
    return [_Cell(scale, turn, mirrored) for mirrored in (False, True) for scale in scales for turn in turns]


def _candidates(windows: Tensor) -> list[tuple[int, int]]:
    """The most likely pairs of window and cell."""
    hann = torch.hann_window(_GRID)
    power = torch.fft.rfft2(windows * hann * hann[:, None]).abs() ** 2
    power = (power / _mean(power, 15).clamp(min=1e-6)).clamp(max=_BRIGHTEST).flatten(1).T.contiguous()
    total = sum(power[row] for row in _table()).T  # [windows, cells]
    total = (total - total.mean(1, keepdim=True)) / (total.std(1, keepdim=True) + 1e-6)
    values, cells = total.topk(3, 1)
    order = values.flatten().topk(min(_CANDIDATES, values.numel())).indices
    return [(int(index) // 3, int(cells.flatten()[index])) for index in order]


@functools.cache
def _table() -> Tensor:
    """For each sinusoid and cell the place in the flattened output of ``rfft2``, ``[K, cells]``."""
    places = np.rint(np.stack([cell.frequencies() for cell in _cells()], 1) * _GRID).astype(np.int64)
    places = np.where(places[..., 1:] < 0, -places, places)  # the other half mirrors this one
    rows, columns = places[..., 0] % _GRID, places[..., 1].clip(max=_GRID // 2)
    return torch.from_numpy(rows * (_GRID // 2 + 1) + columns)


def _match(window: Tensor, cell: _Cell, keys: Sequence[str]) -> list[Detection]:
    """The best match of the phases near a cell, over all positions, with each key."""
    start = torch.from_numpy(cell.frequencies()).float()
    count = _GRID // _PART
    samples, parts = torch.arange(_GRID) - (_GRID - 1) / 2, (torch.arange(count) - (count - 1) / 2) * _PART
    # Coefficients of the sinusoids in each part of the window; finer cells differ in how parts add up.
    along = _wave(start[:, 1], samples).view(-1, count, _PART)
    each = torch.einsum("rcp,kcp->ckr", window.view(_GRID, count, _PART).to(along.dtype), along)
    each = (each * _wave(start[:, 0], samples)).view(count, -1, count, _PART).sum(3)
    fine = [
        cell._replace(scale=cell.scale * (1 + larger), turn=cell.turn + turn)
        for larger in np.linspace(-0.012, 0.012, 5)
        for turn in np.radians(np.linspace(-0.6, 0.6, 5))
    ]
    moved = torch.from_numpy(np.stack([one.frequencies() for one in fine])).float() - start
    found = torch.einsum("ckr,fkc,fkr->fk", each, _wave(moved[..., 1], parts), _wave(moved[..., 0], parts))
    size = found.abs()
    found = found / (size + size.median(1, keepdim=True).values + 1e-12)  # no sinusoid decides alone
    deviation = (found.abs().square().sum(1) / 2).sqrt() + 1e-12
    rows, columns = _places().T
    matches = []
    for key in keys:
        surface = torch.zeros(len(fine), _SHIFTS, _SHIFTS // 2 + 1, dtype=found.dtype)
        surface[:, rows, columns] = found * _phasors(key).conj()
        surface[..., 1:] /= 2  # irfft2 counts these twice
        peaks = torch.fft.irfft2(surface, (_SHIFTS, _SHIFTS)).amax((1, 2)) * _SHIFTS**2 / deviation
        best = int(peaks.argmax())
        scale, turn, mirrored = fine[best]
        matches.append(Detection(float(peaks[best]), float(scale), float(np.degrees(turn)), mirrored))
    return matches


def _wave(frequencies: Tensor, places: Tensor) -> Tensor:
    angles = -2 * torch.pi * frequencies[..., None] * places
    return torch.complex(angles.cos(), angles.sin())


# -- both -------------------------------------------------------------------------------------------


@functools.cache
def _places() -> np.ndarray:
    """Places of the sinusoids in the spectrum of one period, ``int[K, 2]`` (row, column)."""
    reach = _HIGH // _REPEATS
    rows, columns = np.mgrid[-reach : reach + 1, 0 : reach + 1]
    radius = _REPEATS * np.hypot(rows, columns)
    inside = (radius >= _LOW) & (radius <= _HIGH) & ((columns > 0) | (rows > 0))
    places = np.stack((rows[inside], columns[inside]), 1)
    return places[np.argsort(_draw("facesep places", len(places)), kind="stable")[:_TONES]]


@functools.lru_cache(maxsize=64)
def _phasors(key: str) -> Tensor:
    """Unit phasors of the sinusoids, ``complex64[K]``."""
    angles = 2 * np.pi * _draw(f"facesep phases {key}", _TONES) / 2**32
    return torch.from_numpy(np.exp(1j * angles).astype(np.complex64))


def _draw(name: str, count: int) -> np.ndarray:
    """Random numbers below 2^32 by SHAKE-256, the same on every machine."""
    return np.frombuffer(hashlib.shake_256(name.encode()).digest(4 * count), "<u4")


def _resize(values: Tensor, shape: Sequence[int] | float) -> Tensor:
    """Resamples ``[H, W]`` to a shape, or to one sample for every so many pixels."""
    if isinstance(shape, float):
        shape = [max(1, round(side / shape)) for side in values.shape]
    smaller = shape[0] < values.shape[0]
    return functional.interpolate(values[None, None], list(shape), mode="bilinear", antialias=smaller)[0, 0]


def _mean(values: Tensor, size: int) -> Tensor:
    """Mean over a square window of the last two dimensions; the rim is repeated."""
    for dim in (-1, -2):
        length = values.shape[dim]
        first, last = values.narrow(dim, 0, 1), values.narrow(dim, length - 1, 1)
        sums = torch.cat([first] * (size // 2 + 1) + [values] + [last] * (size // 2), dim).cumsum(dim)
        values = (sums.narrow(dim, size, length) - sums.narrow(dim, 0, length)) / size
    return values
