"""``encode``, ``render``, ``transfer``, ``mix``, ``edit``, ``moves``, ``orbit`` and ``drive``."""

from __future__ import annotations

import json
import warnings
from argparse import Namespace
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from facesep.camera import orbit_path
from facesep.cli.console import Progress, say, tell
from facesep.cli.files import (
    PICTURES,
    VIDEOS,
    Reader,
    check_identity,
    new_folder,
    output_path,
)
from facesep.codes import SUFFIX, Codes, is_codes_file, parse_attributes
from facesep.detail.portrait import Portrait, codes_of
from facesep.driving import rate
from facesep.errors import ConfigError, FaceSepError, PhotoWarning
from facesep.fitting import check_steps
from facesep.model import FaceSep
from facesep.provenance import write_image
from facesep.video import check_fps

if TYPE_CHECKING:
    from facesep.refine import FaceRefiner


def encode(options: Namespace) -> None:
    """Photos to codes files. One that cannot be used does not keep the others from being written."""
    check_identity(options.include_identity)
    given = options.output
    folder = Path(given) if given and (given.endswith("/") or Path(given).is_dir()) else None
    if given and folder is None and len(options.photos) > 1:
        raise ConfigError(f"{len(options.photos)} photos need a folder as output: write {given}/")
    jobs: dict[Path, str] = {}
    for photo in options.photos:
        if is_codes_file(photo):
            raise ConfigError(f"{photo} holds codes already: give photos")
        name = f"{Path(photo).stem}{SUFFIX}"
        path = folder / name if folder else Path(given or name)
        if path in jobs:
            raise ConfigError(f"two photos would be written to {path}: encode them one by one")
        jobs[path] = photo
    with new_folder(folder) if folder else nullcontext():
        if len(jobs) == 1 and not options.skip_existing:  # before the model is loaded
            output_path(path, [SUFFIX], options.photos, options.overwrite)
        failures = _encode(jobs, options)
    if failures and len(jobs) == 1:
        raise failures[0]
    for failure in failures:
        tell(f"facesep: error: {' '.join(str(failure).split())}\n")
    if failures:
        raise FaceSepError(f"{len(failures)} of {len(jobs)} photos could not be encoded")


def _encode(jobs: dict[Path, str], options: Namespace) -> list[FaceSepError]:
    """Encodes photos to their paths.

    Returns:
        What went wrong.
    """
    progress, read = _start(options)
    failures = []
    for number, (path, photo) in enumerate(jobs.items(), 1):
        if options.skip_existing and path.exists():
            progress.note(f"{path} exists already: passed over {photo}")
            continue
        try:
            output_path(path, [SUFFIX], options.photos, options.overwrite)
            codes = codes_of(read(photo, options.face))
            codes.save(path, include_identity=True)
        except FaceSepError as error:
            failures.append(error)
            if options.json and len(jobs) > 1:
                say(json.dumps({"photo": photo, "error": str(error)}))
            continue
        warnings = [warning for warning in read.warnings if warning["photo"] == photo]
        _done(options, {"output": str(path)}, warnings, photo=photo)
        if len(jobs) > 1:
            progress.count("encoding", number, len(jobs))
    return failures


def render(options: Namespace) -> None:
    """One face to a picture."""
    path = _picture(options, "render", [options.photo])
    _, read = _start(options)
    _write(read, read(options.photo, options.face), path, options)


def transfer(options: Namespace) -> None:
    """Attributes of a donor on a face."""
    attributes = _strengths(options.attributes or ["expression"], options.strength)
    inputs = [options.photo, options.donor]
    path = _picture(options, f"from-{Path(options.donor).stem}", inputs)
    codes_path = _codes_path(options, inputs)
    _, read = _start(options)
    base = read(options.photo, options.face)
    donor = read(options.donor, options.donor_face, "--donor-face N")
    codes = read.sep.transfer(base, donor, attributes)
    _write(read, codes, path, options, codes_path)


def mix(options: Namespace) -> None:
    """Each attribute from a donor of its own."""
    donors = _donors(options.donors)
    inputs = [options.photo, *donors.values()]
    path = _picture(options, "mix", inputs)
    codes_path = _codes_path(options, inputs)
    _, read = _start(options)
    base = read(options.photo, options.face)
    crop = "facesep encode PHOTO --face N, and the codes instead of the photo"
    codes = read.sep.mix(base, **{name: read(donor, None, crop) for name, donor in donors.items()})
    _write(read, codes, path, options, codes_path)


def edit(options: Namespace) -> None:
    """One face moved along named moves."""
    moves = _moves(options.moves)
    path = _picture(options, "edit", [options.photo])
    codes_path = _codes_path(options, [options.photo])
    _, read = _start(options)
    face = read.sep.edit(read(options.photo, options.face), moves)
    _write(read, face, path, options, codes_path)


def moves(options: Namespace) -> None:
    """The names of all moves."""
    for one in FaceSep.from_pretrained(options.checkpoint).moves():
        named = {"name": one.name, "attribute": one.attribute}
        say(json.dumps(named) if options.json else f"{one.name}  ({one.attribute})")


def drive(options: Namespace) -> None:
    """One face that moves like the one in a video."""
    refine = _refinement(options)
    path = _film(options, f"from-{Path(options.video).stem}", [options.photo, options.video])
    rate(options.video, options.fps, options.seconds)  # raises before the model is loaded
    progress, read = _start(options)
    face = read(options.photo, options.face)
    read.sep.drive(
        face,
        options.video,
        path,
        attributes=parse_attributes(options.attributes),
        relative=options.relative,
        sound=options.sound,
        fps=options.fps,
        seconds=options.seconds,
        on_step=lambda what, done, total: progress.count(what.lower(), done, total),
        size=options.size,
        detail=options.detail,
        background=options.background,
        refine=refine,
    )
    _done(options, {"output": str(path)}, read.warnings)


def orbit(options: Namespace) -> None:
    """One face to a video of the turning head."""
    refine = _refinement(options)
    path = _film(options, "orbit", [options.photo])
    orbit_path(options.frames, options.yaw, options.pitch)  # raises before the model is loaded
    check_fps(options.fps)
    progress, read = _start(options)
    codes = read(options.photo, options.face)
    read.sep.orbit(
        codes,
        path,
        yaw=options.yaw,
        pitch=options.pitch,
        frames=options.frames,
        fps=options.fps,
        size=options.size,
        detail=options.detail,
        background=options.background,
        refine=refine,
        on_frame=lambda done: progress.count("rendering", done, options.frames),
    )
    _done(options, {"output": str(path)}, read.warnings)


def _start(options: Namespace) -> tuple[Progress, Reader]:
    """Loads the model of the options."""
    progress = Progress(options.quiet)
    check_steps(options.fit)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    sep = FaceSep.from_pretrained(options.checkpoint, device=device)
    if _refinement(options) is not False:
        if options.refiner is not None:
            sep.refiner = _load_refiner(options.refiner)
        sep.refiner  # noqa: B018 without one it raises here, before any work is done
    detail = vars(options).get("detail", False) and _refinement(options) is False
    return progress, Reader(sep, progress, options.aligned, options.fit, options.upright, detail)


def _load_refiner(name: str) -> FaceRefiner:
    from facesep.refine import FaceRefiner

    refiner = FaceRefiner.from_pretrained(name)
    refiner.set_progress_bar_config(disable=True)
    return refiner


def _refinement(options: Namespace) -> bool | dict[str, Any]:
    """What ``render(refine=...)`` takes.

    Raises:
        ConfigError: for options of a refinement that is not asked for.
    """
    given = vars(options)
    chosen = {
        name: given[f"refine_{name}"] for name in ("steps", "seed") if given.get(f"refine_{name}") is not None
    }
    if given.get("refine") or given.get("refiner") is not None:
        return chosen or True
    if chosen:
        option = f"--refine-{next(iter(chosen))}"
        raise ConfigError(f"{option} does nothing without --refine or --refiner: add one of them")
    return False


def _picture(options: Namespace, suffix: str, inputs: list[str]) -> Path:
    default = f"{Path(options.photo).stem}-{suffix}.png"
    return output_path(options.output or default, PICTURES, inputs, options.overwrite)


def _film(options: Namespace, suffix: str, inputs: list[str]) -> Path:
    default = f"{Path(options.photo).stem}-{suffix}.mp4"
    return output_path(options.output or default, VIDEOS, inputs, options.overwrite)


def _codes_path(options: Namespace, inputs: list[str]) -> Path | None:
    if options.codes is None:
        if options.include_identity:
            raise ConfigError(
                "--include-identity does nothing without --codes FILE: add it, or leave both out"
            )
        return None
    check_identity(options.include_identity)
    return output_path(options.codes, [SUFFIX], inputs, options.overwrite)


def _write(
    read: Reader,
    face: Portrait | Codes,
    path: Path,
    options: Namespace,
    codes_path: Path | None = None,
) -> None:
    """Renders and writes the picture, and the codes if they are wanted."""
    refine = _refinement(options)
    if refine is not False:
        shown = {"on_step": partial(Progress(options.quiet).count, "refining")}
        refine = shown if refine is True else refine | shown
    if options.background == "transparent" and path.suffix.lower() in (".jpg", ".jpeg"):
        raise ConfigError("JPEG has no transparency: write a .png or .webp file")
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always", PhotoWarning)
        image = read.sep.render(
            face,
            yaw=options.yaw,
            pitch=options.pitch,
            roll=options.roll,
            size=options.size,
            detail=options.detail,
            background=options.background,
            refine=refine,
        )
    for one in noticed:
        read.progress.note(str(one.message))
        read.warnings.append({"photo": options.photo, "text": str(one.message)})
    written = {"output": str(write_image(image, path))}
    if codes_path is not None:
        codes = codes_of(face)
        codes.save(codes_path, include_identity=True)
        written["codes"] = str(codes_path)
    _done(options, written, read.warnings)


def _done(
    options: Namespace, written: dict[str, str], warnings: list[dict[str, str]], **more: object
) -> None:
    """Prints what was written: paths, or one JSON object with what the photos were warned of."""
    if options.json:
        say(json.dumps({**more, **written, "warnings": warnings}))
    else:
        say("\n".join(written.values()))


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
