"""What the watermark survives: share of marked pictures in which it is still read after a change."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from facesep import video, watermark
from facesep.images import encode_image, load_image

Change = Callable[[Image.Image], Image.Image]
MESSAGE = 0x5EED0F0A
SIZES = (256, 512)
VIDEO = "H.264 video, 24 frames, CRF 23"
FRAMES = 24


def saved(format: str, quality: int) -> Change:
    """Written as a file of some quality and read again."""
    return lambda image: load_image(encode_image(image, format, quality=quality))


def resized(factor: float) -> Change:
    """Made smaller or larger."""
    return lambda image: image.resize([round(side * factor) for side in image.size], Image.Resampling.BICUBIC)


def lit(factor: float) -> Change:
    """Made darker or brighter."""
    return lambda image: Image.fromarray((np.asarray(image, float) * factor).clip(0, 255).astype(np.uint8))


def cut(part: float) -> Change:
    """A square cut out, a third of the way between the upper left corner and the lower right one."""

    def apply(image: Image.Image) -> Image.Image:
        side = round(min(image.size) * part)
        left, top = ((whole - side) // 3 for whole in image.size)
        return image.crop((left, top, left + side, top + side))

    return apply


CHANGES: dict[str, tuple[Change, bool]] = {
    "none": (lambda image: image, False),
    "JPEG 50": (saved("jpeg", 50), False),
    "WebP 80": (saved("webp", 80), False),
    "half size": (resized(0.5), False),
    "double size": (resized(2.0), False),
    "blur, radius 1": (lambda image: image.filter(ImageFilter.GaussianBlur(1)), False),
    "brightness 1.15": (lit(1.15), False),
    "brightness 0.7": (lit(0.7), False),
    "cut to 95 % of the side": (cut(0.95), True),
    "cut to 80 % of the side": (cut(0.8), True),
    "cut to 60 % of the side": (cut(0.6), True),
}
"""Changes by name, and whether scales are searched for them, as ``facesep verify`` does."""


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = (np.asarray(one, float) - np.asarray(other, float)) ** 2
    return float(10 * np.log10(255**2 / max(float(error.mean()), 1e-12)))


def survival(
    photos: Sequence[Image.Image], size: int, on_photo: Callable[[int], object] | None = None
) -> tuple[float, dict[str, float]]:
    """Marks photos and looks for the mark after each change.

    Args:
        photos: pictures, made square and ``size`` pixels wide before they are marked.
        size: side in pixels.
        on_photo: called with the number of photos done.

    Returns:
        The lowest PSNR of a marked picture in dB, and for each change the share of pictures in which all
        48 bits were read.
    """
    lowest, read = np.inf, dict.fromkeys((*CHANGES, VIDEO), 0)
    for done, photo in enumerate(photos, 1):
        side = min(photo.size)
        plain = photo.crop((0, 0, side, side)).resize((size, size), Image.Resampling.LANCZOS)
        marked = watermark.embed(plain, MESSAGE)
        lowest = min(lowest, psnr(plain, marked))
        for name, (change, search) in CHANGES.items():
            found = watermark.detect(change(marked), search=search)
            read[name] += found is not None and found.message == MESSAGE
        found = watermark.detect(_filmed(plain), search=False)
        read[VIDEO] += found is not None and found.message == MESSAGE
        if on_photo is not None:
            on_photo(done)
    return float(lowest), {name: count / len(photos) for name, count in read.items()}


def _filmed(image: Image.Image) -> list[Image.Image]:
    """Every third frame of a video in which a photo turns a little, each frame marked."""
    frames = (
        watermark.embed(image.rotate(number / 2, Image.Resampling.BICUBIC, fillcolor="white"), MESSAGE)
        for number in range(FRAMES)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = video.write_video(frames, Path(folder) / "film.mp4", 24, crf=23)
        return [Image.fromarray(frame) for frame in video.read_frames(path)][::3]
