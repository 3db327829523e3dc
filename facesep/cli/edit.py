"""``encode``, ``render``, ``transfer``, ``mix``, ``edit``, ``moves``, ``orbit`` and ``drive``."""

from __future__ import annotations

import tempfile
import warnings
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from facesep.camera import orbit_path
from facesep.cli.console import Progress, say, say_json
from facesep.cli.files import STDIN, Reader, check_identity, read_stdin
from facesep.cli.jobs import Job, Task, check_pipes, run
from facesep.cli.model import refinement
from facesep.codes import Codes, is_codes_file, parse_attributes
from facesep.detail.portrait import Portrait, codes_of
from facesep.detail.render import check_background, check_size
from facesep.driving import moving_attributes, rate
from facesep.errors import ConfigError, PhotoWarning
from facesep.model import FaceSep
from facesep.provenance import write_image

DONOR_FACE = "--donor-face"


def encode(options: Namespace) -> None:
    """Photos to codes files."""
    check_identity(options.include_identity)
    for photo in options.photos:
        if is_codes_file(photo):
            raise ConfigError(f"{photo} holds codes already: give photos")
    run(options, Task("", "codes", _encode))


def _encode(options: Namespace, read: Reader, job: Job) -> dict[str, str]:
    codes = codes_of(read(job.photo, options.face))
    codes.save(job.path, include_identity=True)
    return {"output": str(job.path)}


def render(options: Namespace) -> None:
    """Faces to pictures."""
    _check_look(options)
    run(options, Task("render", "picture", _render))


def _render(options: Namespace, read: Reader, job: Job) -> dict[str, str]:
    return _write(options, read, job, read(job.photo, options.face))


def transfer(options: Namespace) -> None:
    """Attributes of a donor on faces."""
    attributes = _strengths(options.attributes or ["expression"], options.strength)
    _check_look(options)
    donor = "stdin" if options.donor == STDIN else Path(options.donor).stem
    make = partial(_transfer, attributes=attributes)
    run(options, Task(f"from-{donor}", "picture", make, [options.donor]))


def _transfer(options: Namespace, read: Reader, job: Job, attributes: Mapping[str, float]) -> dict[str, str]:
    donor = read(options.donor, options.donor_face, f"{DONOR_FACE} N")
    face = read.sep.transfer(read(job.photo, options.face), donor, attributes)
    return _write(options, read, job, face)


def mix(options: Namespace) -> None:
    """Each attribute from a donor of its own."""
    donors = _donors(options.donors)
    faces = _donor_faces(options.donor_face or [], donors)
    _check_look(options)
    inputs = list(dict.fromkeys(donors.values()))
    run(options, Task("mix", "picture", partial(_mix, donors=donors, faces=faces), inputs))


def _mix(
    options: Namespace, read: Reader, job: Job, donors: Mapping[str, str], faces: Mapping[str, int]
) -> dict[str, str]:
    face = read(job.photo, options.face)
    others = {name: read(donor, faces.get(name), f"{DONOR_FACE} {name}=N") for name, donor in donors.items()}
    return _write(options, read, job, read.sep.mix(face, **others))


def edit(options: Namespace) -> None:
    """Faces moved along named moves."""
    moves = _moves(options.moves)
    _check_look(options)
    run(options, Task("edit", "picture", partial(_edit, moves=moves)))


def _edit(options: Namespace, read: Reader, job: Job, moves: Mapping[str, float]) -> dict[str, str]:
    return _write(options, read, job, read.sep.edit(read(job.photo, options.face), moves))


def moves(options: Namespace) -> None:
    """The names of all moves."""
    for one in FaceSep.from_pretrained(options.checkpoint).moves():
        if options.json:
            say_json({"name": one.name, "attribute": one.attribute})
        else:
            say(f"{one.name}  ({one.attribute})")


def drive(options: Namespace) -> None:
    """Faces that move like the one in a video."""
    attributes = moving_attributes(options.attributes)
    _check_look(options)
    if options.background == "keep" and attributes != ["expression"]:
        raise ConfigError(
            "a head that turns with a video does not stand in its photo: use --attributes expression "
            "with --background keep"
        )
    name = "stdin" if options.video == STDIN else Path(options.video).stem
    with tempfile.TemporaryDirectory() as folder:
        video = options.video
        if video == STDIN:
            check_pipes(options, [*options.photos, video], len(options.photos))
            video = str(Path(folder) / "stdin.mp4")
            Path(video).write_bytes(read_stdin())
        rate(video, options.fps, options.seconds)  # raises before the model is loaded
        make = partial(_drive, video=video, attributes=attributes)
        run(options, Task(f"from-{name}", "moving", make, [video]))


def _drive(options: Namespace, read: Reader, job: Job, video: str, attributes: list[str]) -> dict[str, str]:
    path = read.sep.drive(
        read(job.photo, options.face),
        video,
        job.path,
        attributes=attributes,
        relative=options.relative,
        sound=options.sound,
        fps=options.fps,
        seconds=options.seconds,
        on_step=lambda what, done, total: read.progress.count(what.lower(), done, total),
        size=options.size,
        detail=options.detail,
        finish=options.finish,
        background=options.background,
        refine=refinement(options),
    )
    return {"output": str(path)}


def orbit(options: Namespace) -> None:
    """Faces to films of the turning head."""
    orbit_path(options.frames, options.yaw, options.pitch)  # raises before the model is loaded
    _check_look(options)
    if options.background == "keep":
        raise ConfigError("an orbit stands on white or a colour: its head turns too far for its photo")
    run(options, Task("orbit", "moving", _orbit))


def _orbit(options: Namespace, read: Reader, job: Job) -> dict[str, str]:
    path = read.sep.orbit(
        read(job.photo, options.face),
        job.path,
        yaw=options.yaw,
        pitch=options.pitch,
        frames=options.frames,
        fps=options.fps,
        size=options.size,
        detail=options.detail,
        finish=options.finish,
        background=options.background,
        refine=refinement(options),
        on_frame=lambda done: read.progress.count("rendering", done, options.frames),
    )
    return {"output": str(path)}


def _check_look(options: Namespace) -> None:
    """Makes sure that a result can look like the options say, before anything is read."""
    check_background(options.background)
    if options.size is not None:
        check_size(options.size)
        if options.background == "keep":
            raise ConfigError("a result in its photo has the photo's size: leave --size out")
    if refinement(options) is not False and options.background != "white":
        raise ConfigError("refined faces stand on white: leave --background out")
    if options.background == "keep" and not options.detail:
        raise ConfigError("only photo detail stands in its photo: leave --no-detail or --background keep out")
    if options.background == "keep" and options.aligned:
        raise ConfigError(
            "an aligned picture has no photo around it: leave --aligned or --background keep out"
        )


def _write(options: Namespace, read: Reader, job: Job, face: Portrait | Codes) -> dict[str, str]:
    """Renders and writes the picture, and the codes if they are wanted."""
    refine = refinement(options)
    if refine is not False:
        shown = {"on_step": partial(Progress(options.quiet).count, "refining")}
        refine = shown if refine is True else refine | shown
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always", PhotoWarning)
        image = read.sep.render(
            face,
            yaw=options.yaw,
            pitch=options.pitch,
            roll=options.roll,
            size=options.size,
            detail=options.detail,
            finish=options.finish,
            background=options.background,
            refine=refine,
        )
    for one in noticed:
        read.progress.note(str(one.message))
        read.warnings.append({"photo": job.photo, "text": str(one.message)})
    written = {"output": str(write_image(image, job.path))}
    if job.codes is not None:
        codes = codes_of(face)
        codes.save(job.codes, include_identity=True)
        written["codes"] = str(job.codes)
    return written


def _donor_faces(arguments: list[str], donors: Mapping[str, str]) -> dict[str, int]:
    """``["2"]`` or ``["hair=2", "texture=0"]`` as the face of each donor."""
    faces: dict[str, int] = {}
    for argument in arguments:
        names, _, number = argument.rpartition("=")
        for name in parse_attributes(names) if names else donors:
            if name not in donors:
                raise ConfigError(f"{DONOR_FACE} {argument}: {name} has no donor, add {name}=PHOTO")
            if name in faces:
                raise ConfigError(f"the face for {name} is chosen twice: choose one")
            try:
                faces[name] = int(number)
            except ValueError as error:
                raise ConfigError(f"{DONOR_FACE} {argument!r} is not a number, or such as hair=1") from error
    return faces


def _donors(arguments: list[str]) -> dict[str, str]:
    """``["hair,texture=ben.jpg", ...]`` as ``{"hair": "ben.jpg", "texture": "ben.jpg", ...}``."""
    donors: dict[str, str] = {}
    for argument in arguments:
        names, separator, donor = argument.partition("=")
        if not separator or not donor:
            raise ConfigError(f"{argument!r} is not of the form attribute=donor, such as hair=ben.jpg")
        for name in parse_attributes(names):
            if name in donors:
                raise ConfigError(f"{name} is given twice: choose one donor for it")
            donors[name] = donor
    return donors


def _strengths(arguments: list[str], strength: float) -> dict[str, float]:
    """``["hair=0.5", "shape,texture"]`` as ``{"hair": 0.5, "shape": strength, "texture": strength}``."""
    strengths: dict[str, float] = {}
    for argument in ",".join(arguments).split(","):
        given, separator, own = argument.partition("=")
        for name in parse_attributes(given):
            if name in strengths:
                raise ConfigError(f"{name} is given twice: choose one strength for it")
            strengths[name] = _number(argument, own, "hair=0.5") if separator else strength
    return strengths


def _moves(arguments: list[str]) -> dict[str, float]:
    """``["smile=1.5", ...]`` as ``{"smile": 1.5, ...}``."""
    moves: dict[str, float] = {}
    for argument in arguments:
        name, _, amount = argument.rpartition("=")
        if name in moves:
            raise ConfigError(f"{name} is given twice: choose one distance for it")
        moves[name] = _number(argument, amount, "smile=1.5")
    return moves


def _number(argument: str, text: str, example: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{argument!r} is not of the form name=number, such as {example}") from error
