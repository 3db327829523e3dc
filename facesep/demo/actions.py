"""What the page does, as plain functions: photos to faces, faces to pictures and videos."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from facesep.codes import Codes, parse_attributes
from facesep.demo.directions import Direction, move
from facesep.demo.gpu import on_gpu
from facesep.demo.limits import (
    MAX_FRAMES,
    MAX_LISTED_FACES,
    MAX_PITCH,
    MAX_STRENGTH,
    MAX_YAW,
    check_donors,
    check_range,
)
from facesep.errors import CodesError, ConfigError, FaceError, ManyFacesError
from facesep.faces import Aligned
from facesep.fitting import fit
from facesep.images import encode_image, load_image, to_tensor
from facesep.model import FaceSep
from facesep.provenance import Verdict, encode, verify, write_video
from facesep.video import SUFFIXES

FIT_STEPS = 20
"""Gradient steps of a photo where fitting is switched on."""
_SHEET = 640
"""Longest side of the picture in which faces are numbered."""
_CONTRAST = 3.0
"""Makes small differences visible: a third of the range is black."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A face cut out of a photo.

    Attributes:
        image: its canonical crop.
        points: ``float64[5, 2]`` eyes, nose tip and mouth corners in pixels of the crop.
        notes: plain sentences about what may spoil the result.
        facts: numbers about the face in the photo, by what they are.
    """

    image: Image.Image
    points: np.ndarray
    notes: tuple[str, ...]
    facts: dict[str, str]

    @staticmethod
    def of(aligned: Aligned) -> Cut:
        """Keeps what is needed of an aligned face, so that the photo can be dropped."""
        face = aligned.face
        facts = {
            "Pixels between the eyes": f"{face.interocular:.0f}",
            "Turn left or right (yaw)": f"{face.yaw:+.0f} degrees",
            "Tilt (roll)": f"{face.roll:+.0f} degrees",
            "How sure the detector is": f"{100 * face.score:.0f} %",
        }
        return Cut(aligned.image, aligned.points, tuple(aligned.warnings), facts)


@dataclass(frozen=True, eq=False)
class Subject:
    """A face that was read from a photo.

    Attributes:
        codes: its codes.
        picture: what the page shows for it: the canonical crop of the photo, as JPEG.
        notes: plain sentences about what may spoil the result.
        cut: the crop with what was found in it; None for a face that did not come from a photo.
    """

    codes: Codes
    picture: bytes
    notes: tuple[str, ...] = ()
    cut: Cut | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """A photo that shows several faces, read so far that the photo itself is no longer needed.

    Attributes:
        faces: for each face, largest first, its crop, or what is wrong with it.
        places: where each face is, in words.
        sheet: the photo, small, with boxes numbered from 1, as JPEG.
    """

    faces: tuple[Cut | str, ...]
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
    return _subject(sep, Cut.of(aligned))


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
    return _subject(sep, chosen)


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
    return codes, encode(_render(sep, codes, refine=refine))


def mix(
    sep: FaceSep, base: Codes, donors: Sequence[tuple[str, Codes]], refine: bool = False
) -> tuple[Codes, bytes]:
    """Takes one attribute from each of up to four donors.

    Args:
        sep: the model.
        base: the face to change.
        donors: pairs of an attribute and the face it is taken from.
        refine: adds invented detail to the picture.

    Returns:
        The new codes and their picture, a marked PNG.

    Raises:
        CodesError: for no donor, too many, an unknown attribute, or one that is taken twice.
    """
    check_donors(len(donors))
    names = [name for name, _ in donors]
    parse_attributes(names)
    for name in names:
        if names.count(name) > 1:
            raise CodesError(f"{name} is taken from two faces: choose another attribute for one of them")
    codes = base.mix(**dict(donors))
    return codes, encode(_render(sep, codes, refine=refine))


def edit(
    sep: FaceSep, codes: Codes, moves: Mapping[Direction, float], refine: bool = False
) -> tuple[Codes, bytes]:
    """Moves a face along directions, each by so many units from where it stands.

    Returns:
        The new codes and their picture, a marked PNG.

    Raises:
        ConfigError: for a move out of range.
    """
    codes = move(codes, moves)
    return codes, encode(_render(sep, codes, refine=refine))


def difference(sep: FaceSep, before: Codes, after: Codes) -> bytes:
    """Where two renders differ: white where they are equal, darker where they are not; a marked PNG."""
    one, other = (to_tensor(_render(sep, codes)) for codes in (before, after))
    change = (one - other).abs().mean(0, keepdim=True)
    return encode((1 - _CONTRAST * change).clamp(0, 1).expand(3, -1, -1))


def check(data: bytes, suffix: str, folder: Path) -> Verdict:
    """Looks for the marks of facesep in an uploaded file.

    Args:
        data: its bytes.
        suffix: of its name; tells videos from pictures.
        folder: an empty folder for the file while it is looked at; it is deleted.

    Raises:
        ImageError: if it is neither a picture nor a video.
        VideoError: if it is a damaged video.
    """
    try:
        if suffix not in SUFFIXES:
            return verify(data)
        path = folder / f"file{suffix}"
        path.write_bytes(data)
        return verify(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    return encode(_render(sep, codes, yaw, pitch, refine))


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
    return write_video(_orbit(sep, codes, yaw, pitch, int(frames), refine), path, fps, on_frame=on_frame)


def angles(codes: Codes) -> tuple[float, float]:
    """Yaw and pitch of a head in degrees, within the limits of the page."""
    pitch, yaw, _ = (math.degrees(float(angle)) for angle in codes.rotation)
    return max(-MAX_YAW, min(MAX_YAW, yaw)), max(-MAX_PITCH, min(MAX_PITCH, pitch))


def sentence(text: str) -> str:
    """A message of an exception as a sentence."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


@on_gpu
@torch.no_grad()
def encode_cut(sep: FaceSep, cut: Cut) -> Codes:
    """The codes of a face that was cut out; the same as those of its photo."""
    batch = to_tensor(cut.image)[None].to(sep.device)
    return sep.encoder(batch, torch.from_numpy(cut.points)[None].to(batch))[0].to("cpu")


@on_gpu
def fit_cut(sep: FaceSep, cut: Cut, codes: Codes) -> Codes:
    """Brings the codes of a face that was cut out nearer to it; see :mod:`facesep.fitting`."""
    photo = to_tensor(cut.image)[None].to(sep.device)
    return fit(sep.decoder, codes.batch().to(sep.device), photo, FIT_STEPS)[0].to("cpu")


@on_gpu
def _render(
    sep: FaceSep,
    codes: Codes,
    yaw: float | None = None,
    pitch: float | None = None,
    refine: bool = False,
) -> Image.Image:
    return sep.render(codes, yaw=yaw, pitch=pitch, refine=refine)


@on_gpu
def _orbit(
    sep: FaceSep, codes: Codes, yaw: float, pitch: float, frames: int, refine: bool
) -> Iterator[Image.Image]:
    yield from sep.orbit(codes, yaw=yaw, pitch=pitch, frames=frames, refine=refine)


def _subject(sep: FaceSep, cut: Cut) -> Subject:
    return Subject(encode_cut(sep, cut), encode_image(cut.image, "jpeg"), cut.notes, cut)


def _choice(sep: FaceSep, image: Image.Image, error: ManyFacesError) -> Choice:
    """Cuts out each face, so that the photo can be dropped."""
    boxes = error.boxes[:MAX_LISTED_FACES]
    faces: list[Cut | str] = []
    for index in range(len(boxes)):
        try:
            faces.append(Cut.of(sep.align(image, index)))
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
