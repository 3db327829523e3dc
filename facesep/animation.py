"""Frames to animated GIF and WebP, for pages and messages that show no video; and back, a few at a time.

This is the bare codec, as ``facesep.video`` is for MP4: results pass through ``facesep.provenance``.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image

from facesep import checks
from facesep.errors import ConfigError, ImageError, VideoError
from facesep.images import READ_FORMATS

FORMATS = ("gif", "webp")
MOST_FPS = {"gif": 50, "webp": 120}
"""Viewers slow GIF down that is faster than one frame in 20 ms."""
MOST_PIXELS = 2**28
"""Most pixels of all frames, which are in memory together: 1,024 frames at 512 px."""


def check_animation(format: str, fps: float) -> float:
    """Frames per second that a format can have.

    Raises:
        ConfigError: for another format, or a rate out of its range.
    """
    name = checks.choice(format, "the format of an animation", FORMATS).upper()
    return checks.number(fps, f"fps of {name}", 1, MOST_FPS[format])


def encode_animation(
    frames: Iterable[Image.Image], format: str, fps: float, *, quality: int = 90, **metadata: Any
) -> bytes:
    """Encodes frames of one size as a file that plays for ever.

    GIF has 256 colours for each frame, chosen from the frame itself, with the rest by Floyd-Steinberg error
    diffusion; its frames last whole hundredths of a second, spread so that the whole keeps its length.

    Args:
        frames: RGB images, or RGBA for WebP.
        format: one of ``FORMATS``.
        fps: frames per second, see ``MOST_FPS``.
        quality: 1 to 100, for WebP.
        **metadata: what the format's Pillow encoder should add, such as ``comment`` or ``xmp``.

    Raises:
        ConfigError: for another format, rate or quality, and for transparency in a GIF.
        VideoError: for no frames, frames of several sizes, or more of them than fit in memory.
    """
    fps = check_animation(format, fps)
    quality = checks.whole(quality, "quality", 1, 100)
    kept: list[Image.Image] = []
    for frame in frames:
        if kept and frame.size != kept[0].size:
            raise VideoError(
                f"frame {len(kept) + 1} is {frame.size}, the first {kept[0].size}: give one size"
            )
        if (len(kept) + 1) * frame.width * frame.height > MOST_PIXELS:
            raise VideoError("an animation this long does not fit in memory: write .mp4 or a smaller size")
        kept.append(_indexed(frame) if format == "gif" else frame)
    if not kept:
        raise VideoError("there are no frames to write")
    unit = 10 if format == "gif" else 1  # milliseconds
    ends = [round(1000 / unit / fps * count) * unit for count in range(len(kept) + 1)]
    options = {"duration": [end - start for start, end in itertools.pairwise(ends)], "loop": 0, **metadata}
    if format == "webp":
        options["quality"] = quality
    buffer = io.BytesIO()
    try:
        kept[0].save(buffer, format, save_all=True, append_images=kept[1:], **options)
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot write the animation as {format} ({error}): use another format") from error
    return buffer.getvalue()


def _indexed(frame: Image.Image) -> Image.Image:
    if frame.mode == "RGBA":
        raise ConfigError("GIF has no soft edges: write transparent frames as .webp, or choose a background")
    return frame.quantize(palette=frame.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)


def read_some(data: bytes, every: int, count: int) -> Iterator[Image.Image]:
    """Some frames of an animation of untrusted origin, whose first one was read already.

    Args:
        data: the file.
        every: how many frames lie from one that is read to the next.
        count: most frames that are read.

    Yields:
        RGB images of one size; what cannot be decoded ends them.
    """
    try:
        with Image.open(io.BytesIO(data), formats=READ_FORMATS) as file:
            for number in range(0, min(getattr(file, "n_frames", 1), every * count), every):
                file.seek(number)
                yield file.convert("RGBA" if file.has_transparency_data else "RGB")
    except Exception:  # noqa: BLE001 the first frame was good
        return
