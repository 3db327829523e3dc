"""The named endpoints for programs: files in, files out, one call each.

An endpoint is a plain function of a ``facesep.demo.page.Visit``; ``endpoint`` adds what all of them
share. Gradio reads the types from these signatures as they stand, so annotations are not postponed here.
"""

import inspect
from collections.abc import Callable
from dataclasses import asdict
from inspect import Parameter
from typing import Any, Literal

import gradio as gr
from gradio import FileData

from facesep.codes import ATTRIBUTES
from facesep.demo import actions, jobs
from facesep.demo.actions import Look
from facesep.demo.describe import described
from facesep.demo.limits import (
    BACKGROUNDS,
    DRIVE_FPS,
    SIZES,
    check_consent,
    check_donors,
    check_look,
    check_range,
)
from facesep.demo.page import Page, Visit, sentences
from facesep.demo.photos import Choice
from facesep.demo.switches import HOW
from facesep.demo.uploads import take
from facesep.detail.portrait import Portrait, codes_of
from facesep.errors import ConfigError, FaceError
from facesep.moves import move, named_moves

Attribute = Literal[ATTRIBUTES]
LONG = ("orbit", "drive")
"""Endpoints that make videos."""
_PLAIN = Parameter.POSITIONAL_OR_KEYWORD
_LOOK = [
    Parameter("background", _PLAIN, default="white", annotation=Literal[BACKGROUNDS]),
    Parameter("size", _PLAIN, default=SIZES[0], annotation=int),
]
_ENDPOINTS: list[tuple[Callable, tuple[str, ...]]] = []


def endpoint(*switches: str) -> Callable:
    """Makes a function of a visit a named endpoint.

    Where it needs consent, it reads photos: the result is then given with warnings, sentences about what in
    the photos may spoil it.

    Files arrive as their bytes: they are taken, and so deleted, before anything is refused. Parameters that
    the function takes by keyword only come after the switches.

    Args:
        *switches: further options, all off by default. ``consent`` must be true; ``refine`` gives a picture,
            or every frame of a video, invented detail; ``fit`` brings the codes of every photo nearer to it;
            ``plain`` shows the model's render without the photo's pixels; ``look`` stands for ``background``
            and ``size``, see ``facesep.demo.actions.Look``.
    """

    def register(function: Callable) -> Callable:
        _ENDPOINTS.append((function, switches))
        return function

    return register


def endpoints(page: Page) -> dict[str, Callable]:
    """The endpoints of a page by name, as gradio calls them."""
    several = len(page.models.names) > 1
    found = {function.__name__: _bound(page, function, switches) for function, switches in _ENDPOINTS}
    return {name: function for name, function in found.items() if several or name != "choose_model"}


def _bound(page: Page, function: Callable, switches: tuple[str, ...]) -> Callable:
    own = inspect.signature(function)
    _, *parameters = (one for one in own.parameters.values() if one.kind == _PLAIN)
    needed = [one.name for one in parameters if one.annotation is FileData]
    files = [one.name for one in parameters if one.annotation in (FileData, FileData | None)]
    looks = "look" in switches
    switches = tuple(name for name in switches if name != "look")
    parameters += [Parameter(name, _PLAIN, default=False, annotation=bool) for name in switches]
    parameters += [one.replace(kind=_PLAIN) for one in own.parameters.values() if one.kind != _PLAIN]
    parameters += _LOOK if looks else []
    parameters += [Parameter("request", _PLAIN, default=None, annotation=gr.Request)]
    returned = own.return_annotation
    if "consent" in switches:
        returned = tuple[returned, list[str]]
    signature = own.replace(parameters=parameters, return_annotation=returned)

    def run(*args: Any, **kwargs: Any) -> Any:
        with sentences():
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            sent = [name for name in files if name in needed or given[name] is not None]
            given |= zip(sent, take(page.uploads, *(given[name] for name in sent)), strict=True)
            visit = page.visit(given.pop("request"))
            on = {name: given.pop(name) is True for name in switches}
            if "consent" in on:
                check_consent(on["consent"])
            visit.fit, visit.refine = on.get("fit", False), on.get("refine", False)
            look = {one.name: given.pop(one.name) for one in (_LOOK if looks else ())}
            visit.look = Look(on.get("plain", False), refine=visit.refine, **look)
            check_look(visit.look.background, visit.look.size)
            if visit.refine and not visit.sep.has_refiner:
                raise ConfigError(HOW)
            with visit.turn():
                result = function(visit, **given)
            return (result, visit.warnings) if "consent" in on else result

    names = [one.name for one in parameters if one.name != "request"]
    run.__name__, run.__signature__ = function.__name__, signature
    run.__doc__ = described(function.__name__, inspect.getdoc(function), names)
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _portrait(visit: Visit, photo: bytes, face: int | None, option: str = "face", name: str = "") -> Portrait:
    """The portrait of a face, with its warnings for the visit.

    Args:
        visit: the visit.
        photo: the photo.
        face: the number of the face.
        option: how to choose one where the photo shows several.
        name: of the photo, where an endpoint takes several.
    """
    found = visit.read(photo, face)
    if isinstance(found, Choice):
        raise FaceError(f"{found.message(first=0)}; give the number as {option}")
    visit.warnings += [f"{name}: {note}" if name else note for note in found.notes]
    return visit.shown(found)


def _file(path: Any) -> FileData:
    return FileData(path=str(path), orig_name=str(path).rpartition("/")[2]).model_dump()


@endpoint("consent", "refine", "fit", "plain", "look")
def transfer(
    visit: Visit,
    source: FileData,
    donor: FileData,
    attributes: list[Attribute],
    strength: float = 1.0,
    source_face: int | None = None,
    donor_face: int | None = None,
) -> FileData:
    """The face of one photo with attributes from another, as a PNG; consent must be true."""
    base = _portrait(visit, source, source_face, "source_face", "source")
    other = _portrait(visit, donor, donor_face, "donor_face", "donor")
    return _file(visit.picture(actions.transfer(base, other, attributes, strength)))


@endpoint("consent", "refine", "fit", "plain", "look")
def mix(
    visit: Visit,
    photo: FileData,
    shape: FileData | None = None,
    expression: FileData | None = None,
    texture: FileData | None = None,
    illumination: FileData | None = None,
    hair: FileData | None = None,
    rotation: FileData | None = None,
    translation: FileData | None = None,
    face: int | None = None,
) -> FileData:
    """A face with attributes from up to four other photos, as a PNG; consent must be true.

    Each of the others is given under the name of the attribute that is taken from it.
    """
    given = (shape, expression, texture, illumination, hair, rotation, translation)
    chosen = {name: file for name, file in zip(ATTRIBUTES, given, strict=True) if file is not None}
    check_donors(len(chosen))
    base = _portrait(visit, photo, face, name="photo")
    donors = [
        (name, _portrait(visit, file, None, "a photo of one person", name)) for name, file in chosen.items()
    ]
    return _file(visit.picture(actions.mix(base, donors)))


@endpoint("consent", "refine", "fit", "plain", "look")
def render(
    visit: Visit,
    photo: FileData,
    yaw: float | None = None,
    pitch: float | None = None,
    face: int | None = None,
) -> FileData:
    """The face of a photo, turned by yaw and pitch in degrees, as a PNG; consent must be true."""
    return _file(visit.picture(_portrait(visit, photo, face), yaw, pitch))


@endpoint("consent", "refine", "fit", "plain", "look")
def orbit(
    visit: Visit,
    photo: FileData,
    yaw: float = 40.0,
    pitch: float = 8.0,
    frames: int = 60,
    fps: float = 30.0,
    face: int | None = None,
) -> FileData:
    """A video (MP4) of the turning head of a photo; consent must be true."""
    check_range("fps", fps, 1, 60)
    codes = _portrait(visit, photo, face)
    pictures = actions.orbit(visit.sep, codes, yaw=yaw, pitch=pitch, frames=frames, look=visit.look)
    return _file(jobs.film(visit, pictures, int(frames), fps))


@endpoint("consent", "refine", "fit", "plain", "look")
def drive(
    visit: Visit,
    photo: FileData,
    video: FileData,
    attributes: list[Literal["expression", "rotation"]] = ["expression", "rotation"],  # noqa: B006
    face: int | None = None,
    *,
    sound: bool = True,
    relative: bool = False,
) -> FileData:
    """A video (MP4) of the face of a photo that moves like the face in a video; consent must be true.

    At most the first 8 seconds of the video count, at 15 frames a second. The result has its sound, too.
    Where relative is true the face moves from where it is, by what changes in the video.
    """
    codes = _portrait(visit, photo, face)
    motion = jobs.read_motion(visit, video)
    frames = actions.drive(visit.sep, codes, motion, attributes, relative is True, visit.look)
    heard = motion.sound if sound is True else None
    return _file(jobs.film(visit, frames, len(motion), DRIVE_FPS, heard))


@endpoint("consent", "fit")
def sliders(visit: Visit, photo: FileData, face: int | None = None) -> list[dict[str, str | float]]:
    """Names of sliders for edit, and where the face of a photo stands on each; consent must be true.

    Sliders go from -3 to 3; one unit is a typical difference between two faces.
    """
    codes = _portrait(visit, photo, face)
    return [
        {"name": one.name, "attribute": one.attribute, "value": round(one.value(codes_of(codes)), 3)}
        for one in visit.directions()
    ]


@endpoint("consent", "refine", "fit", "plain", "look")
def edit(visit: Visit, photo: FileData, moves: dict[str, float], face: int | None = None) -> FileData:
    """The face of a photo, moved along sliders, as a PNG; consent must be true.

    Moves holds, for names of sliders, how far each is moved from where the face stands
    (-6 to 6, since sliders go from -3 to 3).
    """
    codes = _portrait(visit, photo, face)
    return _file(visit.picture(move(codes, named_moves(visit.directions(), moves))))


@endpoint("consent", "fit")
def encode(
    visit: Visit, photo: FileData, include_identity: bool = False, face: int | None = None
) -> FileData:
    """The codes of a face as a .safetensors file; consent and include_identity must be true.

    Codes identify the person: laws on biometric data apply to those who keep them.
    """
    return _file(visit.write_codes(_portrait(visit, photo, face), include_identity is True))


@endpoint()
def verify(visit: Visit, file: FileData) -> dict[str, str | bool | list[str] | None]:
    """Whether a picture or video was made by facesep, which marks say so, and which version made it.

    No face is read, so no consent is needed.
    """
    found = visit.verify(file)
    return {**asdict(found), "how": list(found.how), "text": str(found)}


@endpoint()
def choose_model(visit: Visit, name: str) -> list[str]:
    """Chooses the model for what this client asks for next, and lists all that are offered.

    No face is read, so no consent is needed.
    """
    visit.switch(name)
    return list(visit.page.models.names)
