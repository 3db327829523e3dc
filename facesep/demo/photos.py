"""Faces from photos: a photo is read once, and everything later works on what was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from facesep.codes import Codes
from facesep.demo.actions import Look
from facesep.demo.computing import computed
from facesep.demo.gpu import on_gpu
from facesep.demo.limits import MAX_LISTED_FACES
from facesep.detail.portrait import Portrait, codes_of
from facesep.errors import ConfigError, FaceError, LyingPhotoError, ManyFacesError
from facesep.faces import Aligned
from facesep.faces.alignment import lying
from facesep.images import encode_image, load_image
from facesep.model import FaceSep

FIT_STEPS = 20
"""Gradient steps of a photo where fitting is switched on."""
_SHEET = 640
"""Longest side of the picture in which faces are numbered."""


@dataclass(eq=False)
class Subject:
    """A face that the page works on.

    Attributes:
        face: its portrait; codes alone for a face that was made of codes.
        aligned: the crop of its photo; None for a face that was made here.
        fitted: a portrait whose codes are nearer to the photo, once somebody asked for it.
    """

    face: Portrait | Codes
    aligned: Aligned | None = None
    fitted: Portrait | None = field(default=None, init=False)

    @property
    def codes(self) -> Codes:
        """Its codes."""
        return codes_of(self.face)

    @property
    def notes(self) -> tuple[str, ...]:
        """Plain sentences about what may spoil the result."""
        return tuple(self.aligned.warnings) if self.aligned else ()

    @property
    def picture(self) -> bytes:
        """What the page shows for it: the crop, as JPEG."""
        return encode_image(self.aligned.image, "jpeg")

    def before(self, look: Look) -> bytes:
        """What stands beside a result: the photo, or its head at the result's size; as JPEG."""
        if not isinstance(self.face, Portrait) or self.face.frames[0].photo is None:
            return self.picture
        crop, photo = look.placed(self.face).frames[0]
        return encode_image(photo if look.background == "keep" else crop.apply(photo, look.size), "jpeg")


@dataclass(frozen=True, eq=False)
class Choice:
    """A photo that shows several faces.

    Attributes:
        photo: the photo.
        faces: for each face that is offered, largest first, its crop, or what is wrong with it.
        places: where each of them is, in words.
        count: how many faces the photo shows; not more than some are offered.
        sheet: the photo, small, with boxes numbered from 1, as JPEG.
    """

    photo: Image.Image
    faces: tuple[Aligned | str, ...]
    places: tuple[str, ...]
    count: int
    sheet: bytes

    def message(self, first: int = 1) -> str:
        """Lists the faces, counted from ``first``."""
        listed = "; ".join(f"{number}: {place}" for number, place in enumerate(self.places, first))
        largest = f"one of the {len(self.faces)} largest" if self.count > len(self.faces) else "one"
        return f"the photo shows {self.count} faces, choose {largest} by its number ({listed})"


@computed
def read(sep: FaceSep, photo: str | Path | bytes | Image.Image, face: int | None = None) -> Subject | Choice:
    """Reads a photo.

    Args:
        sep: the model.
        photo: path or bytes of a picture, or the picture.
        face: which face, counted from 0, largest first.

    Returns:
        The face, or a choice if there are several and none is by far the largest.

    Raises:
        ImageError: if it is not a usable picture.
        LyingPhotoError: if it lies on its side or upside down.
        FaceError: if there is no usable face.
    """
    if face is not None and (isinstance(face, bool) or not isinstance(face, int)):
        raise ConfigError(f"the number of a face must be a whole number, got {face!r}")
    image = load_image(photo)
    try:
        aligned = sep.align(image, face)
    except ManyFacesError as error:
        return _choice(sep, image, error)
    except LyingPhotoError as error:  # in words for visitors, who have no options to set
        raise LyingPhotoError(lying(error.turn), error.turn) from error
    return Subject(portrait(sep, image, aligned), aligned)


@computed
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
    return Subject(portrait(sep, choice.photo, chosen), chosen)


def fitted(sep: FaceSep, subject: Subject) -> Portrait | Codes:
    """A portrait with codes nearer to the photo, found once; a face without a photo stays as it is."""
    if subject.aligned is None or not isinstance(subject.face, Portrait):
        return subject.face
    if subject.fitted is None:
        subject.fitted = portrait(sep, subject.face.frames[0].photo, subject.aligned, FIT_STEPS)
    return subject.fitted


@computed
@on_gpu
def portrait(sep: FaceSep, photo: Image.Image, aligned: Aligned, steps: int = 0) -> Portrait:
    """The portrait of a face that was found in a photo, with so many gradient steps."""
    return sep.portrait(photo, face=aligned.face, fit=steps).to("cpu")


@computed
@on_gpu
def encode(sep: FaceSep, aligned: Aligned, steps: int = 0) -> Codes:
    """The codes of a face that was cut out, with so many gradient steps; the same as those of its photo."""
    return sep.encode(aligned, fit=steps).to("cpu")


def _choice(sep: FaceSep, image: Image.Image, error: ManyFacesError) -> Choice:
    """Cuts out each face."""
    boxes = error.boxes[:MAX_LISTED_FACES]
    faces: list[Aligned | str] = []
    for index in range(len(boxes)):
        try:
            faces.append(sep.align(image, index))
        except FaceError as reason:
            faces.append(str(reason))
    places = tuple(
        f"{right - left:.0f} x {bottom - top:.0f} pixels at {left:.0f}, {top:.0f}"
        for left, top, right, bottom in boxes
    )
    sheet = encode_image(_numbered(image, boxes), "jpeg")
    return Choice(image, tuple(faces), places, len(error.boxes), sheet)


def _numbered(image: Image.Image, boxes: Sequence[tuple[float, ...]]) -> Image.Image:
    """The photo, small, with boxes that are numbered from 1."""
    sheet = image.copy()
    sheet.thumbnail((_SHEET, _SHEET))
    scale = sheet.width / image.width
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(max(14, sheet.height // 16))
    for number, box in enumerate(boxes, 1):
        left, top, right, bottom = (value * scale for value in box)
        draw.rectangle((left, top, right, bottom), outline="white", width=4)
        draw.rectangle((left, top, right, bottom), outline="black", width=2)
        draw.text((left + 6, top + 3), str(number), "white", font, stroke_width=3, stroke_fill="black")
    return sheet
