"""A video of one face moves the face of a photo: its expression and the turn of its head.

The video is looked at frame by frame: the face is followed, cut out and encoded like a photo. Only the two
codes that move are kept of each frame, and they are smoothed over time before anything is rendered,
because the encoder looks at every frame for itself and its small errors would show as jitter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesep import checks
from facesep.codes import Codes, parse_attributes
from facesep.detail.portrait import Portrait, codes_of
from facesep.errors import CodesError, FaceError, VideoError
from facesep.faces import Face, find_faces
from facesep.faces.detector import track
from facesep.video import MAX_FRAMES, read_sound, sample_frames, video_info

if TYPE_CHECKING:
    from facesep.model import FaceSep

MOVES = ("expression", "rotation")
"""What a video can move."""
SMOOTHING = 0.1
"""Standard deviation of the smoothing, in seconds."""
LARGEST_FPS = 30.0
"""Frames per second at which a video is looked at unless more are asked for."""

_SIDE = 640  # faces are looked for in frames of at most this size
_LEAST = 0.5  # share of the frames that must show a face

Step = Callable[[str, int, int], object]
"""Called with what is being done, how much is done, and how much there is; it may raise to stop."""


@dataclass(frozen=True, eq=False)
class Motion:
    """How a face moves in a video.

    Attributes:
        expression: ``Tensor[T, 64]``.
        rotation: ``Tensor[T, 3]``.
        fps: frames per second.
        missed: frames without a face; they lie between their neighbours.
        sound: of the video, see ``facesep.video.read_sound``.
    """

    expression: Tensor
    rotation: Tensor
    fps: float
    missed: int = 0
    sound: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.expression)


def rate(video: str | Path, fps: float | None, seconds: float | None) -> tuple[float, float]:
    """Frames per second at which a video is looked at, and how much of it.

    Args:
        video: the file.
        fps: as asked for, 1 to 120; None takes the video's own rate, at most ``LARGEST_FPS``.
        seconds: as asked for; None takes all of it, as far as its frames are not too many.

    Raises:
        VideoError: if the file is not a usable video.
        ConfigError: for numbers out of range.
    """
    if fps is not None:
        fps = checks.number(fps, "fps", 1, 120)
    if seconds is not None:
        seconds = checks.number(seconds, "seconds", 0.1, MAX_FRAMES)
    info = video_info(video)
    if fps is None:
        fps = info.fps if 1 <= info.fps <= LARGEST_FPS else LARGEST_FPS
    longest = MAX_FRAMES / fps
    return fps, min(longest, longest if seconds is None else seconds)


def read_motion(
    found: Iterable[Codes | None],
    video: str | Path,
    fps: float,
    seconds: float,
    on_step: Step = lambda *_: None,
) -> Motion:
    """How the face in a video moves.

    Args:
        found: what ``follow`` finds in it.
        video: the file.
        fps: samples per second.
        seconds: how much of the video is read, at most.
        on_step: called before the first frame and after each.

    Raises:
        VideoError: if the file is not a usable video.
        FaceError: if less than half of the frames show a face.
    """
    expected = round(min(seconds, video_info(video).seconds or seconds) * fps)
    codes: list[Codes | None] = []
    on_step("Looking at the video", 0, expected)
    for one in found:
        codes.append(one)
        on_step("Looking at the video", len(codes), max(expected, len(codes)))
    seen = {index: one for index, one in enumerate(codes) if one is not None}
    if not codes:
        raise VideoError("the video has no frames: record or choose another one")
    if len(seen) < max(_LEAST * len(codes), 1):
        raise FaceError(
            f"a face was found in {len(seen)} of {len(codes)} frames: use a video that shows one face from "
            "the front, well lit"
        )
    expression, rotation = (
        _between(torch.stack([getattr(one, name) for one in seen.values()]), list(seen), len(codes))
        for name in MOVES
    )
    sound = read_sound(video, len(codes) / fps)
    return Motion(expression, rotation, fps, len(codes) - len(seen), sound)


def follow(sep: FaceSep, video: str | Path, fps: float, seconds: float) -> Iterator[Codes | None]:
    """The codes of each frame of a video, followed from the largest face of the first; None without a face.

    Args:
        sep: the model.
        video: the file.
        fps: samples per second.
        seconds: how much of the video is read, at most.

    Raises:
        VideoError: if the file is not a usable video.
    """
    last, before, found = None, None, None
    for frame in sample_frames(video, fps, seconds):
        if frame is not before:  # slow videos show a frame for several moments
            last, found = look(sep, Image.fromarray(frame), last)
        before = frame
        yield found


def moving_attributes(attributes: str | Collection[str]) -> list[str]:
    """Checks what a video shall move.

    Raises:
        CodesError: for anything but one or both of ``MOVES``.
    """
    chosen = parse_attributes(attributes)
    if set(chosen) - set(MOVES):
        raise CodesError(f"a video moves {' and '.join(MOVES)}: choose one of them or both")
    return chosen


def tracks(
    face: Portrait | Codes, motion: Motion, attributes: str | Collection[str] = MOVES, relative: bool = False
) -> dict[str, Tensor]:
    """The codes of a moving face, frame by frame, smoothed over time.

    Args:
        face: the face that is moved.
        motion: how the face in the video moves.
        attributes: which of ``MOVES`` the video moves; the others stay as they are.
        relative: moves the face from where it is by what changes since the first frame of the video; else
            it takes the video's own expressions and angles.

    Returns:
        ``Tensor[T, n]`` by attribute.

    Raises:
        CodesError: for other attributes or none, and for a batch.
    """
    chosen = moving_attributes(attributes)
    if face.batched:
        raise CodesError("a video moves one face: pick one with face[i]")
    checks.flag(relative, "relative")
    moving = {name: smooth(getattr(motion, name), SMOOTHING * motion.fps) for name in chosen}
    if relative:
        for name, track in moving.items():
            moving[name] = track - track[:1] + getattr(codes_of(face), name).to(track)
    return moving


def moved(face: Portrait | Codes, moving: dict[str, Tensor]) -> Iterator[Portrait | Codes]:
    """The face with some codes replaced by those of each frame."""
    for parts in zip(*moving.values(), strict=True):
        codes = dict(zip(moving, parts, strict=True))
        yield face.replace(**{name: code.to(codes_of(face).shape) for name, code in codes.items()})


def smooth(track: Tensor, deviation: float) -> Tensor:
    """Gaussian average over time of ``Tensor[T, n]``; near the ends over the frames that exist.

    Args:
        track: values by frame.
        deviation: standard deviation in frames.
    """
    radius = math.ceil(5 * deviation)
    padded = torch.nn.functional.pad(track.double().cpu().T, (radius, radius))
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / deviation) ** 2)
    there = torch.nn.functional.pad(torch.ones(1, len(track), dtype=torch.float64), (radius, radius))
    sums = torch.nn.functional.conv1d(torch.cat([padded, there])[:, None], weights[None, None])[:, 0]
    return (sums[:-1] / sums[-1:]).T.to(track)


def look(sep: FaceSep, image: Image.Image, last: Face | None) -> tuple[Face | None, Codes | None]:
    """The face of a frame that is meant, and its codes; None where there is no usable face.

    Args:
        sep: the model.
        image: the frame; it is made smaller in place.
        last: the face of the frame before, from which this one's is followed.
    """
    image.thumbnail((_SIDE, _SIDE))
    try:
        face = None if last is None else track(image, last)
        if face is None:
            faces = find_faces(image)
            if not faces:
                return last, None
            face = _follow(faces, last)
        return face, sep.encode(sep.align(image, face))
    except FaceError:
        return last, None


def _follow(faces: Sequence[Face], last: Face | None) -> Face:
    """The face nearest to the one before; at first the largest."""
    if last is None:
        return faces[0]
    points = last.points.mean(0)
    return min(faces, key=lambda face: float(np.linalg.norm(face.points.mean(0) - points)))


def _between(values: Tensor, places: Sequence[int], count: int) -> Tensor:
    """Values at some frames, filled in by straight lines: ``Tensor[count, n]``."""
    table, frames = values.double().cpu().numpy(), np.arange(count)
    columns = [np.interp(frames, places, column) for column in table.T]
    return torch.from_numpy(np.stack(columns, 1)).to(values)
