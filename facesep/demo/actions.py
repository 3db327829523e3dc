"""What the page does with faces: codes to codes, codes to pictures, each within the limits of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from PIL import Image

from facesep.codes import Codes, parse_attributes
from facesep.demo.gpu import on_gpu
from facesep.demo.limits import (
    MAX_FRAMES,
    MAX_PITCH,
    MAX_STRENGTH,
    MAX_YAW,
    check_donors,
    check_range,
)
from facesep.errors import CodesError, ConfigError
from facesep.images import to_tensor
from facesep.model import FaceSep
from facesep.provenance import encode

_CONTRAST = 3.0
"""Makes small differences visible: a third of the range is black."""


def transfer(base: Codes, donor: Codes, attributes: Sequence[str], strength: float = 1.0) -> Codes:
    """Takes attributes from a donor.

    Raises:
        CodesError: for unknown attributes or none.
        ConfigError: for a strength out of range.
    """
    check_range("strength", strength, 0, MAX_STRENGTH)
    return base.swap(donor, parse_attributes(list(attributes)), float(strength))


def mix(base: Codes, donors: Sequence[tuple[str, Codes]]) -> Codes:
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
    codes: Codes,
    yaw: float | None = None,
    pitch: float | None = None,
    refine: bool = False,
) -> bytes:
    """A picture of a face, a marked PNG.

    Args:
        sep: the model.
        codes: the face.
        yaw: degrees; None keeps the angle of the codes.
        pitch: degrees.
        refine: adds invented detail.

    Raises:
        ConfigError: for angles out of range.
    """
    for name, value, most in (("yaw", yaw, MAX_YAW), ("pitch", pitch, MAX_PITCH)):
        if value is not None:
            check_range(name, value, -most, most)
    return encode(_render(sep, codes, yaw, pitch, refine))


def orbit(
    sep: FaceSep,
    codes: Codes,
    *,
    yaw: float = 40.0,
    pitch: float = 8.0,
    frames: int = 60,
    refine: bool = False,
) -> Iterator[Image.Image]:
    """The frames of a turning head; see :meth:`FaceSep.orbit`.

    Raises:
        ConfigError: for angles or frames out of range, at once.
    """
    check_range("yaw", yaw, -MAX_YAW, MAX_YAW)
    check_range("pitch", pitch, -MAX_PITCH, MAX_PITCH)
    check_range("frames", frames, 2, MAX_FRAMES)
    if frames != int(frames):
        raise ConfigError("frames must be a whole number")
    return _orbit(sep, codes, yaw, pitch, int(frames), refine)


def difference(sep: FaceSep, before: Codes, after: Codes) -> bytes:
    """Where two renders differ: white where they are equal, darker where they are not; a marked PNG."""
    one, other = (to_tensor(_render(sep, codes)) for codes in (before, after))
    change = (one - other).abs().mean(0, keepdim=True)
    return encode((1 - _CONTRAST * change).clamp(0, 1).expand(3, -1, -1))


def angles(codes: Codes) -> tuple[float, float]:
    """Yaw and pitch of a head in degrees, within the limits of the page."""
    pitch, yaw, _ = (math.degrees(float(angle)) for angle in codes.rotation)
    return max(-MAX_YAW, min(MAX_YAW, yaw)), max(-MAX_PITCH, min(MAX_PITCH, pitch))


@on_gpu
def _render(
    sep: FaceSep, codes: Codes, yaw: float | None = None, pitch: float | None = None, refine: bool = False
) -> Image.Image:
    return sep.render(codes, yaw=yaw, pitch=pitch, refine=refine)


@on_gpu
def _orbit(
    sep: FaceSep, codes: Codes, yaw: float, pitch: float, frames: int, refine: bool
) -> Iterator[Image.Image]:
    yield from sep.orbit(codes, yaw=yaw, pitch=pitch, frames=frames, refine=refine)
