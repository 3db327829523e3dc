"""A short video of one face moves the face of a photo: its expression and the turn of its head.

The video is looked at frame by frame: the face is followed, cut out and encoded like a photo. Only the two
codes that move are kept of each frame, and they are smoothed over time before anything is rendered,
because the encoder looks at every frame for itself and its small errors would show as jitter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesep.codes import Codes
from facesep.demo.actions import Look
from facesep.demo.gpu import on_gpu
from facesep.demo.limits import DRIVE_FPS, DRIVE_SECONDS
from facesep.demo.photos import encode
from facesep.detail import Portrait
from facesep.errors import CodesError, FaceError, VideoError
from facesep.faces import Face, find_faces
from facesep.model import FaceSep
from facesep.video import read_sound, sample_frames, video_info

MOVES = ("expression", "rotation")
"""What a video can move."""
SMOOTHING = 1.5
"""Standard deviation of the smoothing, in frames."""

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
        missed: frames without a face; they lie between their neighbours.
        sound: of the video, see ``facesep.video.read_sound``.

    There are ``facesep.demo.limits.DRIVE_FPS`` frames a second.
    """

    expression: Tensor
    rotation: Tensor
    missed: int = 0
    sound: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.expression)


def read_motion(sep: FaceSep, video: str | Path, on_step: Step = lambda *_: None) -> Motion:
    """Follows the face in a video, 15 times a second and for at most 8 seconds.

    Raises:
        VideoError: if the file is not a usable video.
        FaceError: if less than half of the frames show a face.
    """
    expected = min(DRIVE_SECONDS, video_info(video).seconds or DRIVE_SECONDS) * DRIVE_FPS
    codes: list[Codes | None] = []
    on_step("Looking at the video", 0, round(expected))
    for found in _watch(sep, video):
        codes.append(found)
        on_step("Looking at the video", len(codes), max(round(expected), len(codes)))
    seen = [index for index, one in enumerate(codes) if one is not None]
    if not codes:
        raise VideoError("the video has no frames: record or choose another one")
    if len(seen) < max(_LEAST * len(codes), 1):
        raise FaceError(
            f"a face was found in {len(seen)} of {len(codes)} frames: use a video that shows one face from "
            "the front, well lit"
        )
    expression, rotation = (
        _between(torch.stack([getattr(codes[index], name) for index in seen]), seen, len(codes))
        for name in MOVES
    )
    sound = read_sound(video, len(codes) / DRIVE_FPS)
    return Motion(expression, rotation, len(codes) - len(seen), sound)


def frames(
    sep: FaceSep,
    face: Portrait | Codes,
    motion: Motion,
    attributes: Collection[str] = MOVES,
    look: Look = Look(),  # noqa: B008 it cannot be changed
) -> Iterator[Image.Image]:
    """Renders a face that moves like the one in a video.

    Args:
        sep: the model.
        face: the face of the photo.
        motion: what ``read_motion`` found.
        attributes: which of ``MOVES`` the video moves; the others stay as in the photo.
        look: how the frames look.

    Raises:
        CodesError: for other attributes or none, at once.
    """
    chosen = [str(name) for name in attributes] if not isinstance(attributes, str) else [attributes]
    if not chosen or set(chosen) - set(MOVES):
        raise CodesError(f"a video moves {' and '.join(MOVES)}: choose one of them or both")
    moving = {name: smooth(getattr(motion, name)) for name in chosen}
    return _render(sep, face, moving, look.options(sep, face, video=True))


def smooth(track: Tensor, deviation: float = SMOOTHING) -> Tensor:
    """Gaussian average over time of ``Tensor[T, n]``; near the ends over the frames that exist."""
    time = torch.arange(len(track), dtype=torch.float64)
    weights = torch.exp(-0.5 * ((time[:, None] - time) / deviation) ** 2)
    weights /= weights.sum(1, keepdim=True)
    return (weights @ track.double().cpu()).to(track)


@on_gpu
def _watch(sep: FaceSep, video: str | Path) -> Iterator[Codes | None]:
    """The codes of each frame; None where there is no usable face."""
    last, before, found = None, None, None
    for frame in sample_frames(video, DRIVE_FPS, DRIVE_SECONDS):
        if frame is not before:  # slow videos show a frame for several moments
            last, found = _look(sep, frame, last)
        before = frame
        yield found


@on_gpu
def _render(
    sep: FaceSep, face: Portrait | Codes, moving: dict[str, Tensor], options: dict
) -> Iterator[Image.Image]:
    """The face with some codes replaced by those of each frame."""
    for parts in zip(*moving.values(), strict=True):
        yield sep.render(face.replace(**dict(zip(moving, parts, strict=True))), **options)


def _look(sep: FaceSep, frame: np.ndarray, last: Face | None) -> tuple[Face | None, Codes | None]:
    """The face of a frame that is meant, and its codes; None where there is no usable face."""
    image = Image.fromarray(frame)
    image.thumbnail((_SIDE, _SIDE))
    try:
        faces = find_faces(image)
        if not faces:
            return last, None
        face = _follow(faces, last)
        return face, encode(sep, sep.align(image, face))
    except FaceError:
        return last, None


def _follow(faces: Sequence[Face], last: Face | None) -> Face:
    """The face nearest to the one before; at first the largest."""
    if last is None:
        return faces[0]
    return min(faces, key=lambda face: float(np.linalg.norm(face.points.mean(0) - last.points.mean(0))))


def _between(values: Tensor, places: Sequence[int], count: int) -> Tensor:
    """Values at some frames, filled in by straight lines: ``Tensor[count, n]``."""
    table, frames = values.double().cpu().numpy(), np.arange(count)
    columns = [np.interp(frames, places, column) for column in table.T]
    return torch.from_numpy(np.stack(columns, 1)).to(values)
