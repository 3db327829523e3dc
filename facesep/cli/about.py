"""``info`` and ``verify``."""

from __future__ import annotations

import json
import os
import platform
from argparse import Namespace
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import facesep
from facesep import video
from facesep.checkpoint import read_config, verify_checkpoint
from facesep.checksums import sha256
from facesep.cli.console import say, say_json, tell
from facesep.cli.files import PHOTOS, STDIN, files_in, read_stdin
from facesep.codes import CODE_SIZES, Codes, is_codes_file
from facesep.config import ModelConfig, from_dict, preset
from facesep.errors import CheckpointError, CodesError, ConfigError, FaceSepError, ImageError
from facesep.hub import resolve
from facesep.images import load_image
from facesep.nets.decoder import Decoder
from facesep.nets.encoder import build_encoder
from facesep.nets.size import Size, count, parameters

NOT_MARKED = 3
"""Exit code of ``verify`` when a file has no mark."""
MARKED = (*PHOTOS, *video.SUFFIXES)
"""Names of files in folders that ``verify`` looks at."""

Told = tuple[dict[str, Any], list[str]]
"""What ``info`` says, for programs and for people."""


def info(options: Namespace) -> None:
    """About this installation, a checkpoint, a weight file or a preset."""
    if options.preset is not None:
        if options.name is not None:
            raise ConfigError(f"give either {options.name!r} or --preset, not both")
        values, lines = _preset(options.preset)
    elif options.name is None:
        values, lines = _installation()
    elif Path(options.name).is_file():
        values, lines = _file(options.name)
    else:
        values, lines = _checkpoint(resolve(options.name))
    if options.json:
        say_json(values)
    else:
        for line in lines:
            say(line)


def verify(options: Namespace) -> int:
    """Looks for the marks of facesep in files, and in all pictures and videos of folders."""
    from facesep import provenance

    files = []
    for given in options.files:
        inside = files_in(Path(given), MARKED, deep=True) if os.path.isdir(given) else [given]
        if not inside:
            raise ConfigError(f"there is no picture or video in the folder {given}: give another one")
        files += inside
    found: Counter[str] = Counter()
    for file in files:
        try:
            verdict = provenance.verify(read_stdin() if file == STDIN else file)
        except FaceSepError as error:
            if len(files) == 1:
                raise
            message = f"{file}: {' '.join(str(error).split())}"
            tell(f"facesep: error: {message}\n")
            if options.json:
                say_json({"file": file, "error": message})
            found["failed"] += 1
            continue
        found["marked" if verdict.made_by_facesep else "unmarked"] += 1
        if options.json:
            say_json({"file": file, **asdict(verdict)})
        else:
            say(f"{file}: {verdict}")
    if found["failed"]:
        raise FaceSepError(f"{found['failed']} of {len(files)} files could not be read")
    if len(files) > 1:
        tell(f"facesep: {found['marked']} of {len(files)} files are marked\n")
    return NOT_MARKED if found["unmarked"] else 0


def _installation() -> Told:
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    values = {
        "version": facesep.__version__,
        "folder": str(Path(facesep.__file__).parent),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda": cuda,
    }
    lines = [
        f"facesep {values['version']} in {values['folder']}",
        f"Python {values['python']}, torch {values['torch']}, {values['threads']} threads",
        f"CUDA device: {cuda or 'none'}",
    ]
    try:
        folder = resolve()
    except CheckpointError:
        return values | {"bundled": None}, [*lines, "bundled checkpoint: none; name one with --checkpoint"]
    bundled, more = _checkpoint(folder)
    return values | {"bundled": bundled}, [*lines, "bundled checkpoint:", *more]


def _checkpoint(folder: Path) -> Told:
    verify_checkpoint(folder)
    known = read_config(folder)
    config = from_dict(ModelConfig, {name: known[name] for name in ("encoder", "decoder")}, "config.json")
    with torch.device("meta"):
        networks = {"encoder": build_encoder(config.encoder), "decoder": Decoder(config.decoder)}
    parts = {
        name: {"parameters": parameters(network), "config": known[name]} for name, network in networks.items()
    }
    files = [
        {
            "name": path.relative_to(folder).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    values = {"kind": "checkpoint", "folder": str(folder), "format": known["format"]}
    values |= {"facesep_version": known.get("facesep_version"), **parts, "files": files}
    lines = [
        f"folder: {folder}",
        f"format {values['format']}, written by facesep {values['facesep_version']}",
        *(
            f"{name}: {part['parameters'] / 1e6:.2f} M parameters, {json.dumps(part['config'])}"
            for name, part in parts.items()
        ),
        *(f"{one['bytes']:>12,d}  {one['sha256']}  {one['name']}" for one in files),
        f"{sum(one['bytes'] for one in files):>12,d}  bytes in all; every checksum is right",
    ]
    return values, lines


def _file(path: str) -> Told:
    """Codes of facesep, a picture, a video, or a weight file of another project."""
    from facesep.importers import identify

    if Path(path).suffix.lower() in video.SUFFIXES:
        seen = video.video_info(path)
        return _seen(path, "video", seen.width, seen.height)
    if is_codes_file(path):
        try:
            faces = len(Codes.load(path).batch())
        except CodesError:
            pass
        else:
            line = f"{path}: facesep codes of {faces} face{'s' if faces > 1 else ''} (biometric data)"
            return {"kind": "codes", "file": path, "faces": faces}, [line]
    try:
        picture = load_image(path)
    except ImageError:
        found = identify(path)
        return {"kind": "weights", "file": path, "about": str(found)}, [f"{path}: {found}"]
    return _seen(path, "picture", picture.width, picture.height)


def _seen(path: str, kind: str, width: int, height: int) -> Told:
    line = f"{path}: a {kind} of {width} x {height} pixels; facesep verify looks for marks in it"
    return {"kind": kind, "file": path, "width": width, "height": height}, [line]


def _preset(name: str) -> Told:
    config = preset(name)
    encoder, decoder = model_size(config)
    total = Size(encoder.parameters + decoder.parameters, encoder.macs + decoder.macs)
    sizes, side = {"encoder": encoder, "decoder": decoder, "both": total}, config.decoder.image_size
    values = {"kind": "preset", "name": name, "image_size": side}
    values |= {part: asdict(size) for part, size in sizes.items()}
    first = f"{name}: {side} pixels, for one face seen from the front"
    return values, [first, *(f"  {part}: {size}" for part, size in sizes.items())]


def model_size(config: ModelConfig) -> tuple[Size, Size]:
    """Sizes of encoder and decoder, with the multiply-adds of encoding and rendering one frontal face.

    The decoder runs for real, because which rays meet the head decides its work.
    """
    side = config.decoder.image_size
    with torch.device("meta"):
        encoder = count(build_encoder(config.encoder).eval(), torch.empty(1, 3, side, side))
    codes = Codes(**{name: torch.zeros(1, length) for name, length in CODE_SIZES.items()})
    return encoder, count(Decoder(config.decoder).eval(), codes)
