"""What the page does with faces: portraits to portraits and pictures, each within the limits of the page."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image
from torch import Tensor

from facesep.codes import Codes, parse_attributes
from facesep.demo.computing import computed
from facesep.demo.gpu import on_gpu
from facesep.demo.limits import (
    MAX_FRAMES,
    MAX_PITCH,
    MAX_STRENGTH,
    MAX_YAW,
    SIZES,
    SMALL,
    check_donors,
    check_range,
)
from facesep.detail.paste import LARGEST_TURN, turn
from facesep.detail.portrait import Frame, Portrait, codes_of
from facesep.driving import MOVES, Motion, moved, tracks
from facesep.errors import CodesError, ConfigError
from facesep.faces.crop import Crop
from facesep.images import to_tensor
from facesep.model import FaceSep
from facesep.provenance import encode

IN_PHOTO = 2
"""How many times longer than the chosen size a photo is that a result stands in."""
_CONTRAST = 3.0
"""Makes small differences visible: a third of the range is black."""


Face = Portrait | Codes


@dataclass(frozen=True)
class Look:
    """How results are shown.

    Attributes:
        plain: without the photos' pixels.
        background: ``keep`` (the photo that the face comes from), ``white`` or ``transparent``.
        refine: with invented detail.
        size: side of the head's picture in pixels.
        small: photos that were made small for this: by size, the photo and what it became.
    """

    plain: bool = False
    background: str = "white"
    refine: bool = False
    size: int = SIZES[0]
    small: dict[int, tuple[Image.Image, Image.Image]] = field(default_factory=dict, compare=False)

    def of(self, face: Face) -> Look:
        """The same, on white where a face cannot stand in its photo: plain, refined, or turned far."""
        if self.background != "keep":
            return self
        stands = isinstance(face, Portrait) and face.frames[0].photo and not self.plain and not self.refine
        if stands and turn(face.codes.batch(), face.base.codes) <= LARGEST_TURN:
            return self
        return self.on("white")

    def on(self, background: str) -> Look:
        """The same on another background."""
        return replace(self, background=background)

    def options(self, face: Face) -> dict:
        """Arguments for ``FaceSep.render``."""
        background = self.of(face).background
        if self.plain or self.refine or not isinstance(face, Portrait):
            clear = background == "transparent" and not self.refine
            return {"detail": False, "refine": self.refine} | ({"background": background} if clear else {})
        return {"background": background} | ({} if background == "keep" else {"size": self.size})

    def placed(self, face: Face) -> Face:
        """A portrait whose photo is not larger than it is shown; a photo is made small once."""
        if self.background != "keep" or not isinstance(face, Portrait) or face.frames[0].photo is None:
            return face
        crop, photo = face.frames[0]
        share = IN_PHOTO * self.size / max(photo.size)
        if share >= 1:
            return face
        known, small = self.small.get(self.size, (None, None))
        if known is not photo:
            size = [max(1, round(side * share)) for side in photo.size]
            small = photo.resize(size, Image.Resampling.LANCZOS)
            self.small[self.size] = photo, small
        across, down = small.width / photo.width, small.height / photo.height
        window = Crop(crop.left * across, crop.top * down, crop.side * (across * down) ** 0.5)
        return replace(face, frames=(Frame(window, small),))


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


@computed
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
    return encode(_render(sep, look.placed(face), yaw, pitch, look.options(face)))


@computed
def preview(sep: FaceSep, face: Face, look: Look, size: int = SMALL) -> bytes:
    """A small picture on white, a marked JPEG: for what moves while one looks at it."""
    image = _render(sep, face, None, None, replace(look.on("white"), size=size).options(face))
    return encode(image, "jpeg", quality=85)


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
    return _orbit(sep, face, yaw, pitch, int(frames), look.on("white").options(face))


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
    stays = set(moving) == {"expression"} and look.background == "keep"
    look = look if stays else look.on("white")
    return _moved(sep, look.placed(face), moving, look.options(face))


@computed
def difference(sep: FaceSep, before: Face, after: Face) -> bytes:
    """Where two results differ: white where they are equal, darker where they are not; a marked PNG."""
    detailed = isinstance(before, Portrait) and isinstance(after, Portrait)
    options = {"size": SIZES[0] if detailed else sep.image_size}
    one, other = (to_tensor(_render(sep, face, None, None, options)) for face in (before, after))
    change = (one - other).abs().mean(0, keepdim=True)
    return encode((1 - _CONTRAST * change).clamp(0, 1).expand(3, -1, -1))


def angles(face: Face) -> tuple[float, float]:
    """Yaw and pitch of a head in degrees, within the limits of the page."""
    pitch, yaw, _ = (math.degrees(float(angle)) for angle in codes_of(face).rotation)
    return max(-MAX_YAW, min(MAX_YAW, yaw)), max(-MAX_PITCH, min(MAX_PITCH, pitch))


@on_gpu
def _render(sep: FaceSep, face: Face, yaw: float | None, pitch: float | None, options: dict) -> Image.Image:
    return sep.render(face, yaw=yaw, pitch=pitch, **options)


@computed
@on_gpu
def _orbit(
    sep: FaceSep, face: Face, yaw: float, pitch: float, frames: int, options: dict
) -> Iterator[Image.Image]:
    yield from sep.orbit(face, yaw=yaw, pitch=pitch, frames=frames, **options)


@computed
@on_gpu
def _moved(sep: FaceSep, face: Face, moving: dict[str, Tensor], options: dict) -> Iterator[Image.Image]:
    for one in moved(face, moving):
        yield sep.render(one, **options)
