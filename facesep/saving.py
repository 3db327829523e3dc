"""One function that marks a result and writes it, whether a picture or what moves."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from facesep import animation, checks, provenance, video
from facesep.errors import ConfigError, VideoError

if TYPE_CHECKING:
    from facesep.detail.render import Background

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MOVING = (".mp4", ".gif", ".webp")
FRAME = "%05d.png"
"""Name of a frame in a folder that has no pattern."""
Result = Image.Image | Tensor | Iterable[video.Frame]
"""What ``save`` writes."""

_PATTERN = re.compile(r"%0?\d*d")
_SEPARATORS = tuple(one for one in (os.sep, os.altsep) if one)
_OPAQUE = {".jpg": "JPEG", ".jpeg": "JPEG", ".gif": "GIF", ".mp4": "MP4"}


def save(
    result: Result,
    path: str | Path,
    *,
    fps: float = 30,
    quality: int = 95,
    on_frame: Callable[[int], object] | None = None,
    sound: np.ndarray | None = None,
) -> Path:
    """Marks a result of the model and writes it, in the form that the path asks for.

    One picture is written as ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``; several pictures, or the frames of
    what moves, as ``.mp4``, as animated ``.gif`` or ``.webp``, or as a file each: in a new folder, or by a
    pattern such as ``frames/%04d.png``.

    Examples:
        >>> save(sep.render("anna.jpg"), "anna.png")         # doctest: +SKIP
        >>> save(sep.orbit("anna.jpg"), "anna.gif", fps=20)  # doctest: +SKIP

    Args:
        result: an image or ``Tensor[3, H, W]`` in [0, 1]; a list or an iterator of frames, or
            ``Tensor[B, 3, H, W]``.
        path: where to; it appears when it is complete.
        fps: frames per second, 1 to 120, at most 50 for GIF.
        quality: 1 to 100, for JPEG and WebP.
        on_frame: called with the number of frames done, for progress.
        sound: of an ``.mp4``, see ``facesep.video.read_sound``.

    Returns:
        The path; the folder for frames.

    Raises:
        ConfigError: for a path that does not fit the result, and for a folder that is missing or not empty.
        ImageError, VideoError: if the result cannot be encoded or written.
    """
    if isinstance(result, Image.Image) or (isinstance(result, Tensor) and result.ndim == 3):
        return provenance.write_image(result, path, quality=quality)
    form = check_frames(path, fps)
    frames, path = video.iterate(result), checks.path(path, "path")
    if form == "frames":
        return _write_frames(frames, path, quality, on_frame)
    if form == "video":
        return provenance.write_video(frames, path, fps, on_frame=on_frame, sound=sound)
    return provenance.write_animation(frames, path, fps, quality=quality, on_frame=on_frame)


def check_frames(path: str | Path | None, fps: float, background: Background = "white") -> str:
    """What is written of frames under a path, before they are made.

    Args:
        path: where to; None for nothing.
        fps: frames per second.
        background: behind the heads.

    Returns:
        ``video``, ``animation`` or ``frames``.

    Raises:
        ConfigError: for another suffix or rate, and for transparency where there is none.
    """
    if path is None:
        video.check_fps(fps)
        return "frames"
    given, path = path, checks.path(path, "path")
    suffix = path.suffix.lower()
    if is_frames(given):
        form, suffix = "frames", suffix if _PATTERN.search(path.name) else ".png"
        if suffix not in PICTURES:
            raise ConfigError(f"frames are written as {', '.join(PICTURES)}, not {path.name!r}")
    elif suffix == ".mp4":
        form = "video"
        video.check_fps(fps)
    elif suffix in MOVING:
        form = "animation"
        animation.check_animation(suffix[1:], fps)
    else:
        raise ConfigError(
            f"what moves is written as .mp4, .gif, .webp or frames/%04d.png, not {path.name!r}: choose one"
        )
    check_transparency(suffix, background)
    return form


def is_frames(path: str | Path) -> bool:
    """Whether a path asks for a file for each frame."""
    suffix = Path(path).suffix.lower()
    folder = (
        os.fspath(path).endswith(_SEPARATORS) or not suffix or (suffix not in MOVING and os.path.isdir(path))
    )
    return folder or _PATTERN.search(Path(path).name) is not None


def frames_folder(path: Path) -> tuple[Path, str]:
    """The folder of frames that a path asks for, and the pattern of their names.

    Raises:
        ConfigError: if the folder is not empty, or would stand in one that does not exist.
    """
    folder, pattern = (path.parent, path.name) if _PATTERN.search(path.name) else (path, FRAME)
    if not os.path.isdir(folder.absolute().parent):
        raise ConfigError(f"the folder {folder.parent} does not exist: create it first")
    if os.path.exists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty: frames need a folder of their own, choose a new one")
    return folder, pattern


def check_transparency(suffix: str, background: Background) -> None:
    """Makes sure that a file of a suffix can show a background.

    Raises:
        ConfigError: for ``transparent`` in a format without soft transparency.
    """
    if background == "transparent" and suffix.lower() in _OPAQUE:
        raise ConfigError(
            f"{_OPAQUE[suffix.lower()]} has no transparency: write .png or .webp, or choose a colour"
        )


def _write_frames(
    frames: Iterator[video.Frame], path: Path, quality: int, on_frame: Callable[[int], object] | None
) -> Path:
    """Frames as files in a new folder, which appears when all are there."""
    folder, pattern = frames_folder(path)
    try:
        staging = Path(tempfile.mkdtemp(prefix=".facesep-", suffix=".tmp", dir=folder.absolute().parent))
        try:
            staging.chmod(0o755)  # mkdtemp makes private folders
            count = 0
            for count, frame in enumerate(video.counted(frames, on_frame), 1):
                shown = frame if isinstance(frame, Image.Image) else Image.fromarray(video.to_pixels(frame))
                provenance.write_image(shown, staging / (pattern % count), quality=quality)
            if not count:
                raise VideoError("there are no frames to write")
            if os.path.exists(folder):
                folder.rmdir()
            os.rename(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise VideoError(f"cannot write to {folder} ({error.strerror}): choose another place") from error
    return folder
