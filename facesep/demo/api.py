"""The named endpoints for programs: files in, files out, one call each.

Files are taken, and so deleted, before anything is refused.

With ``refine`` a picture, or every frame of a video, gets invented detail, and with ``fit`` the codes of
every photo are brought nearer to it, as by the page's switches.

Gradio reads the types from these signatures as they stand, so annotations are not postponed here.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Literal

import gradio as gr
from gradio import FileData

from facesep.codes import ATTRIBUTES, Codes
from facesep.demo import actions, jobs
from facesep.demo.actions import Subject
from facesep.demo.directions import named_moves
from facesep.demo.handlers import CODES, PICTURE, Handlers, plain_errors
from facesep.demo.jobs import VIDEO
from facesep.demo.limits import check_consent, check_donors
from facesep.demo.sessions import Session
from facesep.demo.switches import HOW
from facesep.demo.uploads import suffix_of, take
from facesep.errors import ConfigError, FaceError

Attribute = Literal["shape", "expression", "texture", "illumination", "hair", "rotation", "translation"]


def endpoints(handlers: Handlers) -> dict[str, Callable]:
    """The endpoints by name."""

    def session_of(request: gr.Request) -> Session:
        return handlers.sessions.get(request.session_hash)

    def subject(photo: bytes, face: int | None, option: str, request: gr.Request) -> Subject:
        found = handlers.read(session_of(request), photo, face)
        if isinstance(found, actions.Choice):
            raise FaceError(f"{found.message(first=0)}; give the number as {option}")
        return found

    def codes_of(photo: bytes, face: int | None, option: str, fit: bool, request: gr.Request) -> Codes:
        found = subject(photo, face, option, request)
        return (handlers.fitted(session_of(request), found) if fit is True else found).codes

    def refining(refine: bool, request: gr.Request) -> bool:
        if refine is True and not handlers.model(session_of(request)).has_refiner:
            raise ConfigError(HOW)
        return refine is True

    def picture(data: bytes, request: gr.Request) -> FileData:
        path = session_of(request).write(PICTURE, data)
        return FileData(path=str(path), orig_name=PICTURE).model_dump()

    def transfer(
        source: FileData,
        donor: FileData,
        attributes: list[Attribute],
        strength: float = 1.0,
        source_face: int | None = None,
        donor_face: int | None = None,
        consent: bool = False,
        refine: bool = False,
        fit: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """The face of one photo with attributes from another, as a PNG; consent must be true."""
        photos = take(handlers.uploads, source, donor)
        check_consent(consent)
        refine = refining(refine, request)
        base = codes_of(photos[0], source_face, "source_face", fit, request)
        other = codes_of(photos[1], donor_face, "donor_face", fit, request)
        sep = handlers.model(session_of(request))
        return picture(actions.transfer(sep, base, other, attributes, strength, refine)[1], request)

    def render(
        photo: FileData,
        yaw: float | None = None,
        pitch: float | None = None,
        face: int | None = None,
        consent: bool = False,
        refine: bool = False,
        fit: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """The face of a photo, turned by yaw and pitch in degrees, as a PNG; consent must be true."""
        (data,) = take(handlers.uploads, photo)
        check_consent(consent)
        refine = refining(refine, request)
        codes = codes_of(data, face, "face", fit, request)
        return picture(actions.turn(handlers.model(session_of(request)), codes, yaw, pitch, refine), request)

    def orbit(
        photo: FileData,
        yaw: float = 40.0,
        pitch: float = 8.0,
        frames: int = 60,
        fps: float = 30.0,
        face: int | None = None,
        consent: bool = False,
        refine: bool = False,
        fit: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """A video (MP4) of the turning head of a photo; consent must be true."""
        (data,) = take(handlers.uploads, photo)
        check_consent(consent)
        refine = refining(refine, request)
        codes = codes_of(data, face, "face", fit, request)
        session = session_of(request)
        options = {"yaw": yaw, "pitch": pitch, "frames": frames, "fps": fps, "refine": refine}
        path = jobs.film(handlers.model(session), session, codes, gr.Progress(), **options)
        return FileData(path=path, orig_name=VIDEO).model_dump()

    def mix(
        photo: FileData,
        shape: FileData | None = None,
        expression: FileData | None = None,
        texture: FileData | None = None,
        illumination: FileData | None = None,
        hair: FileData | None = None,
        rotation: FileData | None = None,
        translation: FileData | None = None,
        face: int | None = None,
        consent: bool = False,
        refine: bool = False,
        fit: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """A face with attributes from up to four other photos, as a PNG; consent must be true.

        Each of the others is given under the name of the attribute that is taken from it.
        """
        given = (shape, expression, texture, illumination, hair, rotation, translation)
        chosen = {name: file for name, file in zip(ATTRIBUTES, given, strict=True) if file is not None}
        first, *others = take(handlers.uploads, photo, *chosen.values())
        check_consent(consent)
        refine = refining(refine, request)
        check_donors(len(others))
        base = codes_of(first, face, "face", fit, request)
        donors = [
            (name, codes_of(data, None, "a photo of one person", fit, request))
            for name, data in zip(chosen, others, strict=True)
        ]
        return picture(actions.mix(handlers.model(session_of(request)), base, donors, refine)[1], request)

    def drive(
        photo: FileData,
        video: FileData,
        attributes: list[Literal["expression", "rotation"]] = ["expression", "rotation"],  # noqa: B006
        face: int | None = None,
        consent: bool = False,
        refine: bool = False,
        fit: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """A video (MP4) of the face of a photo that moves like the face in a video; consent must be true.

        At most the first 8 seconds of the video count, at 15 frames a second.
        """
        data, moving = take(handlers.uploads, photo, video)
        check_consent(consent)
        refine = refining(refine, request)
        codes = codes_of(data, face, "face", fit, request)
        session, progress = session_of(request), gr.Progress()
        motion = jobs.read_motion(handlers.model(session), session, moving, suffix_of(video), progress)
        path = jobs.drive(handlers.model(session), session, codes, motion, attributes, progress, refine)
        return FileData(path=path, orig_name=VIDEO).model_dump()

    def sliders(
        photo: FileData,
        face: int | None = None,
        consent: bool = False,
        fit: bool = False,
        request: gr.Request = None,
    ) -> list[dict[str, str | float]]:
        """Names of sliders for edit, and where the face of a photo stands on each; consent must be true.

        Sliders go from -3 to 3; one unit is a typical difference between two faces.
        """
        (data,) = take(handlers.uploads, photo)
        check_consent(consent)
        codes = codes_of(data, face, "face", fit, request)
        return [
            {"name": one.name, "attribute": one.attribute, "value": round(one.value(codes), 3)}
            for one in handlers.directions(session_of(request))
        ]

    def edit(
        photo: FileData,
        moves: dict[str, float],
        face: int | None = None,
        consent: bool = False,
        refine: bool = False,
        fit: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """The face of a photo, moved along sliders, as a PNG; consent must be true.

        Moves holds, for names of sliders, how far each is moved from where the face stands.
        """
        (data,) = take(handlers.uploads, photo)
        check_consent(consent)
        refine = refining(refine, request)
        codes = codes_of(data, face, "face", fit, request)
        chosen = named_moves(handlers.directions(session_of(request)), moves)
        return picture(actions.edit(handlers.model(session_of(request)), codes, chosen, refine)[1], request)

    def encode(
        photo: FileData,
        include_identity: bool = False,
        face: int | None = None,
        consent: bool = False,
        fit: bool = False,
        request: gr.Request = None,
    ) -> FileData:
        """The codes of a face as a .safetensors file; consent and include_identity must be true.

        Codes identify the person: laws on biometric data apply to those who keep them.
        """
        (data,) = take(handlers.uploads, photo)
        check_consent(consent)
        codes = codes_of(data, face, "face", fit, request)
        path = session_of(request).new_file(CODES)
        codes.save(path, include_identity=include_identity is True)
        return FileData(path=str(path), orig_name=CODES).model_dump()

    def verify(file: FileData, request: gr.Request = None) -> dict[str, str | bool | list[str] | None]:
        """Whether a picture or video was made by facesep, which marks say so, and which version made it.

        No face is read, so no consent is needed.
        """
        suffix = suffix_of(file)
        found = actions.check(take(handlers.uploads, file)[0], suffix, session_of(request).new_folder())
        return {**asdict(found), "how": list(found.how), "text": str(found)}

    def choose_model(name: str, request: gr.Request = None) -> list[str]:
        """Chooses the model for what this client asks for next, and lists all that are offered.

        No face is read, so no consent is needed.
        """
        handlers.switch(name, request)
        return list(handlers.models.names)

    functions = [transfer, mix, render, orbit, drive, sliders, edit, encode, verify]
    if len(handlers.models.names) > 1:
        functions.append(choose_model)
    return {function.__name__: plain_errors(function) for function in functions}
