"""What the page does, as plain functions: photos to faces, faces to pictures and videos."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from facesep.codes import Codes, parse_attributes
from facesep.demo.limits import (
    MAX_FRAMES,
    MAX_LISTED_FACES,
    MAX_PITCH,
    MAX_STRENGTH,
    MAX_YAW,
    check_range,
)
from facesep.errors import ConfigError, FaceError, ManyFacesError
from facesep.images import encode_image, load_image
from facesep.model import FaceSep
from facesep.provenance import encode

_SHEET = 640
"""Longest side of the picture in which faces are numbered."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A face that was read from a photo.

    Attributes:
        codes: its codes.
        picture: what the page shows for it: the canonical crop of the photo, as JPEG.
        notes: plain sentences about what may spoil the result.
    """

    codes: Codes
    picture: bytes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Choice:
    """A photo that shows several faces, read so far that the photo itself is no longer needed.

    Attributes:
        faces: for each face, largest first, its crop and notes, or what is wrong with it.
        places: where each face is, in words.
        sheet: the photo, small, with boxes numbered from 1, as JPEG.
    """

    faces: tuple[tuple[Image.Image, tuple[str, ...]] | str, ...]
    places: tuple[str, ...]
    sheet: bytes

    def message(self, first: int = 1) -> str:
        """Lists the faces, counted from ``first``."""
        listed = "; ".join(f"{number}: {place}" for number, place in enumerate(self.places, first))
        return f"the photo shows {len(self.faces)} faces, choose one by its number ({listed})"


def read_photo(sep: FaceSep, photo: str | Path | bytes, face: int | None = None) -> Subject | Choice:
    """Reads a photo once; everything later works on the result.

    Args:
        sep: the model.
        photo: path or bytes of a picture.
        face: which face, counted from 0, largest first.

    Returns:
        The face, or a choice if there are several and none is by far the largest.

    Raises:
        ImageError: if it is not a usable picture.
        FaceError: if there is no usable face.
    """
    if face is not None and (isinstance(face, bool) or not isinstance(face, int)):
        raise ConfigError(f"the number of a face must be a whole number, got {face!r}")
    image = load_image(photo)
    try:
        aligned = sep.align(image, face)
    except ManyFacesError as error:
        return _choice(sep, image, error)
    return _subject(sep, aligned.image, aligned.warnings)


def choose(sep: FaceSep, choice: Choice, face: int) -> Subject:
    """Reads one of several faces.

    Raises:
        FaceError: if this face cannot be used.
        ConfigError: if there is no such face.
    """
    if isinstance(face, bool) or not isinstance(face, int) or not 0 <= face < len(choice.faces):
        raise ConfigError(f"there is no face {face!r}: choose from 0 to {len(choice.faces) - 1}")
    chosen = choice.faces[face]
    if isinstance(chosen, str):
        raise FaceError(chosen)
    return _subject(sep, *chosen)


def transfer(
    sep: FaceSep,
    base: Codes,
    donor: Codes,
    attributes: Sequence[str],
    strength: float = 1.0,
    refine: bool = False,
) -> tuple[Codes, bytes]:
    """Takes attributes from a donor; ``refine`` adds invented detail to the picture.

    Returns:
        The new codes and their picture, a marked PNG.

    Raises:
        CodesError: for unknown attributes or none.
        ConfigError: for a strength out of range.
    """
    check_range("strength", strength, 0, MAX_STRENGTH)
    codes = sep.transfer(base, donor, parse_attributes(list(attributes)), float(strength))
    return codes, encode(sep.render(codes, refine=refine))


def turn(
    sep: FaceSep,
    codes: Codes,
    yaw: float | None = None,
    pitch: float | None = None,
    refine: bool = False,
) -> bytes:
    """A picture of a face from another view, a marked PNG; None keeps the angle of the photo.

    Raises:
        ConfigError: for angles out of range.
    """
    for name, value, most in (("yaw", yaw, MAX_YAW), ("pitch", pitch, MAX_PITCH)):
        if value is not None:
            check_range(name, value, -most, most)
    return encode(sep.render(codes, yaw=yaw, pitch=pitch, refine=refine))


def orbit(
    sep: FaceSep,
    codes: Codes,
    path: Path,
    *,
    yaw: float = 40.0,
    pitch: float = 8.0,
    frames: int = 60,
    fps: float = 30.0,
    on_frame: Callable[[int], object] | None = None,
    refine: bool = False,
) -> Path:
    """A video of the turning head; see :meth:`FaceSep.orbit`.

    Raises:
        ConfigError: for angles, frames or a speed out of range.
    """
    check_range("yaw", yaw, -MAX_YAW, MAX_YAW)
    check_range("pitch", pitch, -MAX_PITCH, MAX_PITCH)
    check_range("frames", frames, 2, MAX_FRAMES)
    check_range("fps", fps, 1, 60)
    if frames != int(frames):
        raise ConfigError("frames must be a whole number")
    sep.orbit(
        codes, path, yaw=yaw, pitch=pitch, frames=int(frames), fps=fps, on_frame=on_frame, refine=refine
    )
    return path


def angles(codes: Codes) -> tuple[float, float]:
    """Yaw and pitch of a head in degrees, within the limits of the page."""
    pitch, yaw, _ = (math.degrees(float(angle)) for angle in codes.rotation)
    return max(-MAX_YAW, min(MAX_YAW, yaw)), max(-MAX_PITCH, min(MAX_PITCH, pitch))


def sentence(text: str) -> str:
    """A message of an exception as a sentence."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _subject(sep: FaceSep, crop: Image.Image, notes: Sequence[str]) -> Subject:
    return Subject(sep.encode(crop, aligned=True), encode_image(crop, "jpeg"), tuple(notes))


def _choice(sep: FaceSep, image: Image.Image, error: ManyFacesError) -> Choice:
    """Cuts out each face, so that the photo can be dropped."""
    boxes = error.boxes[:MAX_LISTED_FACES]
    faces: list[tuple[Image.Image, tuple[str, ...]] | str] = []
    for index in range(len(boxes)):
        try:
            aligned = sep.align(image, index)
            faces.append((aligned.image, tuple(aligned.warnings)))
        except FaceError as reason:
            faces.append(str(reason))
    places = tuple(
        f"{right - left:.0f} x {bottom - top:.0f} pixels at {left:.0f}, {top:.0f}"
        for left, top, right, bottom in boxes
    )
    return Choice(tuple(faces), places, encode_image(_numbered(image, boxes), "jpeg"))


def _numbered(image: Image.Image, boxes: Sequence[tuple[float, ...]]) -> Image.Image:
    """The photo, small, with boxes that are numbered from 1."""
    scale = min(1.0, _SHEET / max(image.size))
    sheet = image.resize([max(1, round(side * scale)) for side in image.size], Image.LANCZOS)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(14, sheet.height // 16))
    for number, box in enumerate(boxes, 1):
        corners = [value * scale for value in box]
        draw.rectangle(corners, outline="white", width=4)
        draw.rectangle(corners, outline="black", width=2)
        draw.text(
            (corners[0] + 6, corners[1] + 3),
            str(number),
            "white",
            font,
            stroke_width=3,
            stroke_fill="black",
        )
    return sheet
