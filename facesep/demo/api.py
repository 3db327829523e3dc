"""The named endpoints for programs: files in, files out, one call each.

Gradio reads the types from these signatures as they stand, so annotations are not postponed here.
"""

from collections.abc import Callable
from typing import Literal

import gradio as gr
from gradio import FileData

from facesep.codes import Codes
from facesep.demo import actions
from facesep.demo.handlers import PICTURE, VIDEO, Handlers, plain_errors
from facesep.demo.limits import check_consent
from facesep.demo.uploads import take
from facesep.errors import FaceError

Attribute = Literal["shape", "expression", "texture", "illumination", "hair", "rotation", "translation"]


def endpoints(handlers: Handlers) -> dict[str, Callable]:
    """The endpoints by name."""

    def codes_of(photo: bytes, face: int | None, option: str) -> Codes:
        found = actions.read_photo(handlers.sep, photo, face)
        if isinstance(found, actions.Choice):
            raise FaceError(f"{found.message(first=0)}; give the number as {option}")
        return found.codes

    def picture(data: bytes, request: gr.Request) -> FileData:
        path = handlers.sessions.get(request.session_hash).write(PICTURE, data)
        return FileData(path=str(path), orig_name=PICTURE).model_dump()

    def transfer(
        source: FileData,
        donor: FileData,
        attributes: list[Attribute],
        strength: float = 1.0,
        source_face: int | None = None,
        donor_face: int | None = None,
        consent: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """The face of one photo with attributes from another, as a PNG; consent must be true."""
        check_consent(consent)
        photos = take(handlers.uploads, source, donor)
        base = codes_of(photos[0], source_face, "source_face")
        other = codes_of(photos[1], donor_face, "donor_face")
        return picture(actions.transfer(handlers.sep, base, other, attributes, strength)[1], request)

    def render(
        photo: FileData,
        yaw: float | None = None,
        pitch: float | None = None,
        face: int | None = None,
        consent: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """The face of a photo, turned by yaw and pitch in degrees, as a PNG; consent must be true."""
        check_consent(consent)
        codes = codes_of(take(handlers.uploads, photo)[0], face, "face")
        return picture(actions.turn(handlers.sep, codes, yaw, pitch), request)

    def orbit(
        photo: FileData,
        yaw: float = 40.0,
        pitch: float = 8.0,
        frames: int = 60,
        fps: float = 30.0,
        face: int | None = None,
        consent: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """A video (MP4) of the turning head of a photo; consent must be true."""
        check_consent(consent)
        codes = codes_of(take(handlers.uploads, photo)[0], face, "face")
        session = handlers.sessions.get(request.session_hash)
        options = {"yaw": yaw, "pitch": pitch, "frames": frames, "fps": fps}
        path = handlers.film(session, codes, gr.Progress(), **options)
        return FileData(path=path, orig_name=VIDEO).model_dump()

    return {function.__name__: plain_errors(function) for function in (transfer, render, orbit)}
