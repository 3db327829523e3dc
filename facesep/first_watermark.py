"""Reads the first watermark of facesep, which files of early versions carry.

48 keyed bits in the luminance, 32 of them the version and 16 a CRC. The picture is seen at 256 pixels along
its short side and covered with one repeated tile of 64 x 64 pixels, a sum of sinusoids between 0.13 and 0.24
cycles per pixel. A key chooses which frequencies and phases mark the position of the tile and which carry
each bit. The reader flattens the picture, folds it onto one tile, and finds the tile at any shift by FFT.
Pictures that were cut or laid on a larger page are not read; ``facesep.watermark`` is for them.
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

KEY = "facesep"

_SIZE, _TILE = 256, 64
_BITS, _POSITION_TONES = 48, 56
_LOW, _HIGH = 0.13, 0.24  # the band in cycles per pixel
_MAX_ASPECT = 8
_THRESHOLD = 4.5  # least height of the position peak in standard deviations
_WINDOW = 4  # half width of the local contrast
_FLIPS = 3  # doubtful bits that may be wrong; 93 readings


def read(images: Image.Image | Sequence[Image.Image]) -> int | None:
    """The 32 bits of a message, or None where there is none.

    Args:
        images: a picture, or frames of one video.
    """
    images = [images] if isinstance(images, Image.Image) else list(images)
    if max(images[0].size) > _MAX_ASPECT * min(images[0].size):
        return None
    views = [_luminance(image) for image in images]
    pitch = min(views[0].size) / _SIZE
    folded = sum(_fold(_flatten(_see(view, pitch))) for view in views)
    tones = _tones()
    position = np.zeros((_TILE, _TILE), complex)
    place = tones.rows[:_POSITION_TONES], tones.columns[:_POSITION_TONES]
    position[place] = np.fft.fft2(folded)[place] * tones.phases[:_POSITION_TONES].conj()
    surface = np.fft.ifft2(position).real
    row, column = np.unravel_index(surface.argmax(), surface.shape)
    if surface[row, column] < _THRESHOLD * max(surface.std(), 1e-12):
        return None
    spectrum = np.fft.fft2(np.roll(folded, (-row, -column), (0, 1)))
    values = (spectrum[tones.rows, tones.columns] * tones.phases.conj()).real[_POSITION_TONES:]
    return _decode(values.reshape(_BITS, -1).sum(1))


class _Tones(NamedTuple):
    """Places of the sinusoids in the tile's spectrum, position first."""

    rows: np.ndarray
    columns: np.ndarray
    phases: np.ndarray


@functools.cache
def _tones() -> _Tones:
    frequency = np.fft.fftfreq(_TILE)
    radius = np.hypot(frequency[:, None], frequency)
    half = (frequency[None] > 0) | ((frequency[None] == 0) & (frequency[:, None] > 0))
    rows, columns = np.nonzero((radius >= _LOW) & (radius < _HIGH) & half)
    random = np.frombuffer(hashlib.shake_256(KEY.encode()).digest(8 * len(rows)), "<u4").reshape(2, -1)
    share = (len(rows) - _POSITION_TONES) // _BITS
    order = np.argsort(random[0], kind="stable")[: _POSITION_TONES + share * _BITS]
    return _Tones(rows[order], columns[order], np.exp(2j * np.pi * random[1, : len(order)] / 2**32))


def _decode(values: np.ndarray) -> int | None:
    """The message if the CRC is right, perhaps after turning round the weakest bits (Chase's decoder)."""
    bits, weakest = values > 0, np.argsort(np.abs(values))[:8]
    for count in range(_FLIPS + 1):
        for places in itertools.combinations(weakest, count):
            tried = bits.copy()
            tried[list(places)] ^= True
            data = np.packbits(tried).tobytes()
            if binascii.crc_hqx(data[:4], 0xFFFF) == int.from_bytes(data[4:], "big"):
                return int.from_bytes(data[:4], "big")
    return None


def _luminance(image: Image.Image) -> Image.Image:
    """Luminance as floats, halved while it is much larger than what is looked at."""
    image = image.convert("RGB").convert("F")
    while min(image.size) >= 3 * _SIZE:
        image = image.reduce(2)
    return image


def _see(view: Image.Image, pitch: float) -> np.ndarray:
    """Luminance with one sample for every ``pitch`` pixels, exactly; a rest at the rim is left out."""
    width, height = (int(side / pitch + 1e-6) for side in view.size)
    method = Image.Resampling.LANCZOS if pitch > 1 else Image.Resampling.BICUBIC
    box = (0, 0, min(width * pitch, view.width), min(height * pitch, view.height))
    return np.asarray(view.resize((width, height), method, box))


def _flatten(seen: np.ndarray) -> np.ndarray:
    """Band-pass, then division by the local contrast."""
    margin = 16
    padded = torch.from_numpy(np.pad(seen.astype(np.float32), margin, mode="reflect"))
    rows, columns = padded.shape
    radius2 = torch.fft.fftfreq(rows)[:, None] ** 2 + torch.fft.rfftfreq(columns) ** 2
    inside = (radius2 > (0.9 * _LOW) ** 2) & (radius2 < (1.05 * _HIGH) ** 2)
    band = torch.fft.irfft2(torch.fft.rfft2(padded) * inside, padded.shape).numpy()
    band = band[margin:-margin, margin:-margin]
    return band / np.sqrt(_mean(band**2) + 4)


def _mean(values: np.ndarray) -> np.ndarray:
    size = 2 * _WINDOW + 1
    height, width = values.shape
    padded = np.pad(values, _WINDOW, mode="edge")
    tall = sum(padded[start : start + height] for start in range(size))
    return sum(tall[:, start : start + width] for start in range(size)) / size**2


def _fold(flat: np.ndarray) -> np.ndarray:
    """Sum of all tiles, cut ones filled with zeros."""
    rows, columns = (-(-side // _TILE) for side in flat.shape)
    whole = np.zeros((rows * _TILE, columns * _TILE))
    whole[: flat.shape[0], : flat.shape[1]] = flat
    return whole.reshape(rows, _TILE, columns, _TILE).sum((0, 2))
