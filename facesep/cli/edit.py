"""``encode``, ``render``, ``transfer``, ``mix`` and ``orbit``."""

from __future__ import annotations

from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from facesep.cli.files import (
    CODES,
    PICTURES,
    VIDEOS,
    Progress,
    Reader,
    check_identity,
    is_codes,
    output_path,
    say,
)
from facesep.codes import Codes, parse_attributes
from facesep.errors import ConfigError
from facesep.fitting import check_steps
from facesep.model import FaceSep
from facesep.provenance import write_image

if TYPE_CHECKING:
    from facesep.refine import FaceRefiner


def encode(options: Namespace) -> None:
    """Photos to codes files."""
    check_identity(options.include_identity)
    given = options.output
    folder = Path(given) if given and (given.endswith("/") or Path(given).is_dir()) else None
    if given and folder is None and len(options.photos) > 1:
        raise ConfigError(f"{len(options.photos)} photos need a folder as output: write {given}/")
    if folder is not None:
        _make_folder(folder)
    paths = []
    for photo in options.photos:
        if is_codes(photo):
            raise ConfigError(f"{photo} holds codes already: give photos")
        name = f"{Path(photo).stem}{CODES}"
        chosen = str(folder / name) if folder else given
        path = output_path(chosen, name, [CODES], options.photos, options.overwrite)
        if path in paths:
            raise ConfigError(f"two photos would be written to {path}: encode them one by one")
        paths.append(path)
    progress, read = _start(options)
    for number, (photo, path) in enumerate(zip(options.photos, paths, strict=True), 1):
        codes = read(photo, options.face)
        codes.save(path, include_identity=True)
        if len(paths) > 1:
            progress.count("encoding", number, len(paths))
    for path in paths:
        say(str(path))


def render(options: Namespace) -> None:
    """One face to a picture."""
    path = _picture(options, "render", [options.photo])
    _, read = _start(options)
    _write(read.sep, read(options.photo, options.face), path, options)


def transfer(options: Namespace) -> None:
    """Attributes of a donor on a face."""
    attributes = parse_attributes(options.attributes)
    inputs = [options.photo, options.donor]
    path = _picture(options, f"from-{Path(options.donor).stem}", inputs)
    codes_path = _codes_path(options, inputs)
    _, read = _start(options)
    base = read(options.photo, options.face)
    donor = read(options.donor, options.donor_face, "--donor-face N")
    codes = read.sep.transfer(base, donor, attributes, options.strength)
    _write(read.sep, codes, path, options, codes_path)


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
    _write(read.sep, codes, path, options, codes_path)


def orbit(options: Namespace) -> None:
    """One face to a video of the turning head."""
    refine = _refinement(options)
    default = f"{Path(options.photo).stem}-orbit.mp4"
    path = output_path(options.output, default, VIDEOS, [options.photo], options.overwrite)
    progress, read = _start(options)
    codes = read(options.photo, options.face)
    read.sep.orbit(
        codes,
        path,
        yaw=options.yaw,
        pitch=options.pitch,
        frames=options.frames,
        fps=options.fps,
        refine=refine,
        on_frame=lambda done: progress.count("rendering", done, options.frames),
    )
    say(str(path))


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
    return progress, Reader(sep, progress, options.aligned, options.fit)


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
    return output_path(options.output, default, PICTURES, inputs, options.overwrite)


def _codes_path(options: Namespace, inputs: list[str]) -> Path | None:
    if options.codes is None:
        return None
    check_identity(options.include_identity)
    return output_path(options.codes, "", [CODES], inputs, options.overwrite)


def _write(
    sep: FaceSep, codes: Codes, path: Path, options: Namespace, codes_path: Path | None = None
) -> None:
    """Renders and writes the picture, and the codes if they are wanted."""
    refine = _refinement(options)
    if refine is not False:
        shown = {"on_step": partial(Progress(options.quiet).count, "refining")}
        refine = shown if refine is True else refine | shown
    image = sep.render(codes, yaw=options.yaw, pitch=options.pitch, roll=options.roll, refine=refine)
    say(str(write_image(image, path)))
    if codes_path is not None:
        codes.save(codes_path, include_identity=True)
        say(str(codes_path))


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


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create the folder {folder} ({error}): choose another output") from error
