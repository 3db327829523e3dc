"""An invisible watermark: 48 keyed bits in the luminance that survive compression, scaling and crops.

The picture is seen at 256 pixels along its short side, whatever its size, and covered with one repeated
tile of 64 x 64 pixels. The tile is a sum of sinusoids between 0.13 and 0.24 cycles per pixel: low enough
for half-size copies and strong JPEG, high enough to stay away from most of the picture's own energy. A
key chooses which frequencies and phases mark the position of the tile and which carry each bit (spread
spectrum; Cox, Miller, Bloom, "Digital Watermarking", ch. 3 and 5). The writer knows the picture, so it
measures what the reader will see and corrects each sinusoid for what the picture itself adds there.

The reader flattens the picture (band-pass, then division by the local contrast), folds it onto one
tile and correlates with the position pattern by FFT, which finds the tile at any shift, hence in crops.
A crop also changes the scale; a list of scales is tried. 16 of the 48 bits are a CRC.

A watermark says where a picture comes from as long as nobody works on removing it. Whoever reads this
file and has the key can remove or forge it.
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

KEY = "facesep"
"""The key that results are marked with."""
SIZE = 256
"""Pixels along the short side at which pictures are seen."""
TILE = 64
MESSAGE_BITS, CHECK_BITS = 32, 16
POSITION_TONES = 56
"""Sinusoids that mark the position; the rest of the band is shared among the bits."""
LOW, HIGH = 0.13, 0.24
"""The band in cycles per pixel."""
PSNR = 40.5
"""Strength: peak signal-to-noise ratio of the marked picture in dB."""
MIN_SIDE = 128
"""Smaller pictures have no room for the bits and are left as they are. From 192 pixels on they survive all
that is said above; below, high-quality JPEG and WebP, but neither JPEG 50 nor half size."""
MAX_ASPECT = 8
"""So are pictures that are longer than this many times their short side."""
THRESHOLD = 4.5
"""Least height of the position peak, in standard deviations, for which bits are read."""
SEARCH_THRESHOLD = 5.5
"""The same in the search, where chance has a hundred scales; cuts of marked pictures reach 6.5 and more."""

_BITS = MESSAGE_BITS + CHECK_BITS
_ROUNDS = 4  # corrections against the picture's own content
_WINDOW = 4  # half width of the local contrast
_STEP = 1.012  # between scales: half of it moves a sinusoid at the rim by a fifth of a period
_FLIPS = 3  # doubtful bits that may be wrong where nothing is cut off; 93 readings
_CANDIDATES = 3  # scales that are looked at closely
_REFINE = (-0.006, -0.003, 0.0, 0.003, 0.006)
_SCALES = tuple(_STEP**i for i in range(1, 68)) + tuple(_STEP**-i for i in range(1, 31))


class Detection(NamedTuple):
    """A watermark that was found.

    Attributes:
        message: the 32 bits.
        peak: height of the position peak in standard deviations.
        scale: how much larger the original was, along the short side; 1 if nothing was cut off.
    """

    message: int
    peak: float
    scale: float


def embed(image: Image.Image, message: int, key: str = KEY) -> Image.Image:
    """Marks a picture.

    Args:
        image: RGB image; below :data:`MIN_SIDE` or beyond :data:`MAX_ASPECT` it is returned as it is.
        message: 32 bits.
        key: readers need the same one.

    Returns:
        A new RGB image of the same size, :data:`PSNR` dB from the given one or closer.

    Raises:
        ValueError: if the message does not fit into 32 bits.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32)
    if min(image.size) < MIN_SIDE or max(image.size) > MAX_ASPECT * min(image.size):
        return Image.fromarray(pixels.astype(np.uint8))
    tones = _tones(key)
    signs = np.concatenate([np.ones(POSITION_TONES), np.repeat(2.0 * _encode(message) - 1, tones.share)])
    pitch = min(image.size) / SIZE
    seen = _see(image.convert("RGB").convert("F"), pitch)
    visibility = _visibility(seen)

    def change(gains: np.ndarray) -> np.ndarray:
        return _cover(_tile(tones, signs * gains), seen.shape) * visibility

    def spread(small: np.ndarray) -> np.ndarray:
        size = round(small.shape[1] * pitch), round(small.shape[0] * pitch)
        large = Image.fromarray(small.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        rest = (0, image.height - size[1]), (0, image.width - size[0])
        return np.pad(np.asarray(large), rest, mode="edge")

    def strength(large: np.ndarray) -> float:
        """Factor that reaches the wanted PSNR after clipping."""
        factor = 1.0
        for _ in range(4):
            added = np.clip(pixels + factor * large[..., None], 0, 255) - pixels
            factor *= 255 * 10 ** (-PSNR / 20) / max(float(np.sqrt((added**2).mean())), 1e-6)
            factor = min(factor, 1e3)
        return factor

    gains = np.ones(len(signs))
    factor = strength(spread(change(gains)))
    for _ in range(_ROUNDS):
        found = _responses(_fold(_flatten(np.clip(seen + factor * change(gains), 0, 255))), tones) * signs
        gains = np.clip(gains + 0.5 * (1 - found / max(found.mean(), 1e-6)), 0, 4)
        gains /= np.sqrt((gains**2).mean())
    large = spread(change(gains))
    marked = np.clip(np.round(pixels + strength(large) * large[..., None]), 0, 255)
    return Image.fromarray(marked.astype(np.uint8))


def detect(
    images: Image.Image | Sequence[Image.Image], key: str = KEY, *, search: bool = True
) -> Detection | None:
    """Looks for a watermark.

    Args:
        images: a picture, or frames of one video.
        key: the key it was written with.
        search: also look for cut-out and padded pictures; takes up to half a second when there is nothing.

    Returns:
        What was found, or ``None``. Among 2,351 unmarked portraits one in 750 passed the threshold as it
        is (then 93 readings; in the search one), and noise passes the CRC once in 65,536. What was measured
        stands in docs/responsible-use.md.
    """
    return detect_each(images, [key], search=search)[0]


def detect_each(
    images: Image.Image | Sequence[Image.Image], keys: Sequence[str], *, search: bool = True
) -> list[Detection | None]:
    """What :func:`detect` finds with each of several keys; most of the work is done once for all."""
    images = [images] if isinstance(images, Image.Image) else list(images)
    if max(images[0].size) > MAX_ASPECT * min(images[0].size):
        return [None] * len(keys)
    views = [_luminance(image) for image in images]

    @functools.cache
    def folded(scale: float) -> np.ndarray:
        pitch = min(views[0].size) * scale / SIZE
        return sum(_fold(_flatten(_see(view, pitch))) for view in views)

    return [_find(folded, _tones(key), search) for key in keys]


def _find(folded: Callable[[float], np.ndarray], tones: _Tones, search: bool) -> Detection | None:
    """Looks at a picture, given as what is folded at some scale, with one key."""
    found = _read(folded(1.0), tones, _FLIPS)
    if found is not None or not search:
        return found and Detection(*found, 1.0)
    peaks = {scale: _peak(folded(scale), tones)[0] for scale in _SCALES}
    for scale in sorted(peaks, key=peaks.get, reverse=True)[:_CANDIDATES]:
        near = [scale * (1 + offset) for offset in _REFINE]
        best = max(near, key=lambda one: _peak(folded(one), tones)[0])
        found = _read(folded(best), tones, threshold=SEARCH_THRESHOLD)
        if found is not None:
            return Detection(*found, best)
    return None


# -- bits and tones ---------------------------------------------------------------------------------


class _Tones(NamedTuple):
    """Places of the sinusoids in the tile's spectrum, position first; conjugates are implied."""

    rows: np.ndarray
    columns: np.ndarray
    phases: np.ndarray
    share: int
    """Sinusoids for each bit."""


@functools.lru_cache(maxsize=8)
def _tones(key: str) -> _Tones:
    """Draws frequencies and phases from the key by SHAKE-256, the same on every machine."""
    frequency = np.fft.fftfreq(TILE)
    radius = np.hypot(frequency[:, None], frequency)
    half = (frequency[None] > 0) | ((frequency[None] == 0) & (frequency[:, None] > 0))
    rows, columns = np.nonzero((radius >= LOW) & (radius < HIGH) & half)
    random = np.frombuffer(hashlib.shake_256(key.encode()).digest(8 * len(rows)), "<u4").reshape(2, -1)
    share = (len(rows) - POSITION_TONES) // _BITS
    order = np.argsort(random[0], kind="stable")[: POSITION_TONES + share * _BITS]
    phases = np.exp(2j * np.pi * random[1, : len(order)] / 2**32)
    return _Tones(rows[order], columns[order], phases, share)


def _encode(message: int) -> np.ndarray:
    if not 0 <= message < 2**MESSAGE_BITS:
        raise ValueError(f"the message must fit into {MESSAGE_BITS} bits, got {message}")
    data = message.to_bytes(4, "big")
    data += binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")
    return np.unpackbits(np.frombuffer(data, np.uint8))


def _decode(values: np.ndarray, flips: int = 0) -> int | None:
    """The message if the CRC is right, perhaps after turning round the weakest bits.

    Args:
        values: one number for each bit, positive for 1; its size says how sure the bit is.
        flips: most bits that are turned round, among the eight weakest (Chase's decoder).
    """
    bits, weakest = values > 0, np.argsort(np.abs(values))[:8]
    for count in range(flips + 1):
        for places in itertools.combinations(weakest, count):
            tried = bits.copy()
            tried[list(places)] ^= True
            data = np.packbits(tried).tobytes()
            if binascii.crc_hqx(data[:4], 0xFFFF) == int.from_bytes(data[4:], "big"):
                return int.from_bytes(data[:4], "big")
    return None


def _peak(folded: np.ndarray, tones: _Tones) -> tuple[float, tuple[int, int]]:
    """Height, in standard deviations, and place of the best match with the position pattern."""
    spectrum = _spectrum(folded)
    position = np.zeros((TILE, TILE), complex)
    place = tones.rows[:POSITION_TONES], tones.columns[:POSITION_TONES]
    position[place] = spectrum[place] * tones.phases[:POSITION_TONES].conj()
    surface = torch.fft.ifft2(torch.from_numpy(position)).real.numpy()
    row, column = np.unravel_index(surface.argmax(), surface.shape)
    return float(surface[row, column] / max(surface.std(), 1e-12)), (int(row), int(column))


def _read(
    folded: np.ndarray, tones: _Tones, flips: int = 0, threshold: float = THRESHOLD
) -> tuple[int, float] | None:
    """Message and peak height of a folded picture, if there is a peak and its CRC is right."""
    peak, (row, column) = _peak(folded, tones)
    if peak < threshold:
        return None
    moved = np.roll(folded, (-row, -column), (0, 1))
    values = _responses(moved, tones)[POSITION_TONES:].reshape(_BITS, tones.share).sum(1)
    message = _decode(values, flips)
    return None if message is None else (message, peak)


def _responses(folded: np.ndarray, tones: _Tones) -> np.ndarray:
    """Strength of each sinusoid along its phase."""
    spectrum = _spectrum(folded)
    return (spectrum[tones.rows, tones.columns] * tones.phases.conj()).real


def _spectrum(folded: np.ndarray) -> np.ndarray:
    return torch.fft.fft2(torch.from_numpy(folded)).numpy()


def _tile(tones: _Tones, strengths: np.ndarray) -> np.ndarray:
    """The sum of the sinusoids, with a standard deviation of about 1."""
    spectrum = np.zeros((TILE, TILE), complex)
    spectrum[tones.rows, tones.columns] = tones.phases * strengths
    return np.fft.ifft2(spectrum).real * TILE**2 * np.sqrt(2 / len(strengths))


# -- pictures ---------------------------------------------------------------------------------------


def _luminance(image: Image.Image) -> Image.Image:
    """Luminance as floats, halved while it is much larger than what is looked at."""
    image = image.convert("RGB").convert("F")
    while min(image.size) >= 3 * SIZE:
        image = image.reduce(2)
    return image


def _see(view: Image.Image, pitch: float) -> np.ndarray:
    """Luminance with one sample for every ``pitch`` pixels, exactly; a rest at the rim is left out."""
    width, height = (int(side / pitch + 1e-6) for side in view.size)
    method = Image.Resampling.LANCZOS if pitch > 1 else Image.Resampling.BICUBIC
    box = (0, 0, min(width * pitch, view.width), min(height * pitch, view.height))
    return np.asarray(view.resize((width, height), method, box))


def _visibility(seen: np.ndarray) -> np.ndarray:
    """How much change hides at each place: local contrast, and nothing on the white background."""
    contrast = np.sqrt(np.maximum(_mean((seen - _mean(seen)) ** 2), 0))
    return np.where(seen > 253, 0.0, np.clip(contrast, 1, 8))


def _flatten(seen: np.ndarray) -> np.ndarray:
    """Band-pass, then division by the local contrast, so that edges do not drown the rest."""
    height, width = seen.shape
    margin = 16
    shape = rows, columns = _fast(height + 2 * margin), _fast(width + 2 * margin)
    rest = (margin, rows - height - margin), (margin, columns - width - margin)
    padded = np.pad(seen.astype(np.float32), rest, mode="reflect")
    spectrum = torch.fft.rfft2(torch.from_numpy(padded)) * _band(rows, columns)  # faster than numpy's
    band = torch.fft.irfft2(spectrum, shape).numpy()[margin : margin + height, margin : margin + width]
    return band / np.sqrt(_mean(band**2) + 4)


@functools.lru_cache(maxsize=128)
def _band(rows: int, columns: int) -> torch.Tensor:
    """1 for the frequencies of :func:`torch.fft.rfft2` that the watermark uses, else 0."""
    radius2 = torch.fft.fftfreq(rows)[:, None] ** 2 + torch.fft.rfftfreq(columns) ** 2
    return ((radius2 > (0.9 * LOW) ** 2) & (radius2 < (1.05 * HIGH) ** 2)).float()


def _fast(size: int) -> int:
    """The next size without large prime factors: its FFT is several times faster than that of a prime."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over a square window."""
    size = 2 * _WINDOW + 1
    padded = np.pad(values, _WINDOW, mode="edge")
    height, width = values.shape
    tall = sum(padded[start : start + height] for start in range(size))
    return sum(tall[:, start : start + width] for start in range(size)) / size**2


def _fold(flat: np.ndarray) -> np.ndarray:
    """Sum of all tiles, cut ones filled with zeros."""
    rows, columns = (-(-side // TILE) for side in flat.shape)
    whole = np.zeros((rows * TILE, columns * TILE))
    whole[: flat.shape[0], : flat.shape[1]] = flat
    return whole.reshape(rows, TILE, columns, TILE).sum((0, 2))


def _cover(tile: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The tile repeated over a picture of some shape."""
    rows, columns = (-(-side // TILE) for side in shape)
    return np.tile(tile, (rows, columns))[: shape[0], : shape[1]]
