"""What the page does with faces: portraits to portraits and pictures, each within the limits of the page."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from facesep.codes import Codes, parse_attributes
from facesep.demo.gpu import on_gpu
from facesep.demo.limits import (
    MAX_FRAMES,
    MAX_PITCH,
    MAX_SIZE,
    MAX_STRENGTH,
    MAX_YAW,
    check_donors,
    check_range,
)
from facesep.detail.portrait import Portrait, codes_of
from facesep.detail.render import choose_size
from facesep.driving import MOVES, Motion, moved, tracks
from facesep.errors import CodesError, ConfigError
from facesep.images import to_tensor
from facesep.model import FaceSep
from facesep.provenance import encode

_CONTRAST = 3.0
"""Makes small differences visible: a third of the range is black."""


Face = Portrait | Codes


@dataclass(frozen=True)
class Look:
    """How results are shown.

    Attributes:
        plain: without the photos' pixels.
        keep: in the photo that the face comes from.
        refine: with invented detail.
        most: largest side of a result on white, in pixels.
    """

    plain: bool = False
    keep: bool = False
    refine: bool = False
    most: int = MAX_SIZE

    def options(self, sep: FaceSep, face: Face, video: bool = False) -> dict:
        """Arguments for ``FaceSep.render``."""
        detailed = isinstance(face, Portrait) and not self.plain and not self.refine
        if not detailed:
            return {"detail": False, "refine": self.refine}
        if self.keep and not video and face.frames[0].photo is not None:
            return {"background": "keep"}
        return {"size": min(choose_size(face.resolution, sep.image_size), self.most)}


def transfer(base: Face, donor: Face, attributes: Sequence[str], strength: float = 1.0) -> Face:
    """Takes attributes from a donor.

    Raises:
        CodesError: for unknown attributes or none.
        ConfigError: for a strength out of range.
    """
    check_range("strength", strength, 0, MAX_STRENGTH)
    return base.swap(donor, parse_attributes(list(attributes)), float(strength))


def mix(base: Face, donors: Sequence[tuple[str, Face]]) -> Face:
    """Takes one attribute from each of up to four donors, given as pairs of an attribute and a face.

    Raises:
        CodesError: for no donor, too many, an unknown attribute, or one that is taken twice.
    """
    check_donors(len(donors))
    names = [name for name, _ in donors]
    if len(parse_attributes(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise CodesError(f"{twice} is taken from two faces: choose another attribute for one of them")
    return base.mix(**dict(donors))


def picture(
    sep: FaceSep,
    face: Face,
    yaw: float | None = None,
    pitch: float | None = None,
    look: Look = Look(),  # noqa: B008 it cannot be changed
) -> bytes:
    """A picture of a face, a marked PNG.

    Args:
        sep: the model.
        face: what is shown.
        yaw: degrees; None keeps the angle of the face.
        pitch: degrees.
        look: how it is shown.

    Raises:
        ConfigError: for angles out of range.
    """
    for name, value, most in (("yaw", yaw, MAX_YAW), ("pitch", pitch, MAX_PITCH)):
        if value is not None:
            check_range(name, value, -most, most)
    return encode(_render(sep, face, yaw, pitch, look.options(sep, face)))


def orbit(
    sep: FaceSep,
    face: Face,
    *,
    yaw: float = 40.0,
    pitch: float = 8.0,
    frames: int = 60,
    look: Look = Look(),  # noqa: B008
) -> Iterator[Image.Image]:
    """The frames of a turning head; see ``FaceSep.orbit``.

    Raises:
        ConfigError: for angles or frames out of range, at once.
    """
    check_range("yaw", yaw, -MAX_YAW, MAX_YAW)
    check_range("pitch", pitch, -MAX_PITCH, MAX_PITCH)
    check_range("frames", frames, 2, MAX_FRAMES)
    if frames != int(frames):
        raise ConfigError("frames must be a whole number")
    return _orbit(sep, face, yaw, pitch, int(frames), look.options(sep, face, video=True))


def drive(
    sep: FaceSep,
    face: Face,
    motion: Motion,
    attributes: Collection[str] = MOVES,
    relative: bool = False,
    look: Look = Look(),  # noqa: B008
) -> Iterator[Image.Image]:
    """The frames of a face that moves like the one in a video; see ``facesep.driving.tracks``.

    Raises:
        CodesError: for attributes that do not move or none, at once.
    """
    moving = tracks(face, motion, attributes, relative)
    return _moved(sep, face, moving, look.options(sep, face, video=True))


def difference(sep: FaceSep, before: Face, after: Face) -> bytes:
    """Where two results differ: white where they are equal, darker where they are not; a marked PNG."""
    size = min(Look().options(sep, one).get("size", sep.image_size) for one in (before, after))
    one, other = (to_tensor(_render(sep, face, None, None, {"size": size})) for face in (before, after))
    change = (one - other).abs().mean(0, keepdim=True)
    return encode((1 - _CONTRAST * change).clamp(0, 1).expand(3, -1, -1))


def angles(face: Face) -> tuple[float, float]:
    """Yaw and pitch of a head in degrees, within the limits of the page."""
    pitch, yaw, _ = (math.degrees(float(angle)) for angle in codes_of(face).rotation)
    return max(-MAX_YAW, min(MAX_YAW, yaw)), max(-MAX_PITCH, min(MAX_PITCH, pitch))


@on_gpu
def _render(sep: FaceSep, face: Face, yaw: float | None, pitch: float | None, options: dict) -> Image.Image:
    return sep.render(face, yaw=yaw, pitch=pitch, **options)


@on_gpu
def _orbit(
    sep: FaceSep, face: Face, yaw: float, pitch: float, frames: int, options: dict
) -> Iterator[Image.Image]:
    yield from sep.orbit(face, yaw=yaw, pitch=pitch, frames=frames, **options)


@on_gpu
def _moved(sep: FaceSep, face: Face, moving: dict[str, Tensor], options: dict) -> Iterator[Image.Image]:
    for one in moved(face, moving):
        yield sep.render(one, **options)
