"""``info`` and ``verify``."""

from __future__ import annotations

import json
import os
import platform
from argparse import Namespace
from collections import Counter
from dataclasses import asdict
from pathlib import Path

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


def info(options: Namespace) -> None:
    """About this installation, a checkpoint, a weight file or a preset."""
    if options.preset is not None:
        if options.name is not None:
            raise ConfigError(f"give either {options.name!r} or --preset, not both")
        _preset(options.preset)
    elif options.name is None:
        _installation()
    elif Path(options.name).is_file():
        _file(options.name)
    else:
        _checkpoint(resolve(options.name))


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


def _installation() -> None:
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    say(f"facesep {facesep.__version__} in {Path(facesep.__file__).parent}")
    say(f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    say(f"CUDA device: {cuda}")
    try:
        folder = resolve()
    except CheckpointError:
        say("bundled checkpoint: none; name one with --checkpoint")
        return
    say("bundled checkpoint:")
    _checkpoint(folder)


def _checkpoint(folder: Path) -> None:
    verify_checkpoint(folder)
    values = read_config(folder)
    config = from_dict(ModelConfig, {name: values[name] for name in ("encoder", "decoder")}, "config.json")
    say(f"folder: {folder}")
    say(f"format {values['format']}, written by facesep {values.get('facesep_version')}")
    with torch.device("meta"):
        parts = {"encoder": build_encoder(config.encoder), "decoder": Decoder(config.decoder)}
    for name, module in parts.items():
        settings = json.dumps(values[name])
        say(f"{name}: {parameters(module) / 1e6:.2f} M parameters, {settings}")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        say(f"{path.stat().st_size:>12,d}  {sha256(path)}  {path.relative_to(folder).as_posix()}")
    say(f"{sum(path.stat().st_size for path in files):>12,d}  bytes in all; every checksum is right")


def _file(path: str) -> None:
    """Codes of facesep, a picture, a video, or a weight file of another project."""
    from facesep.importers import identify

    if Path(path).suffix.lower() in video.SUFFIXES:
        seen = video.video_info(path)
        say(f"{path}: a video of {seen.width} x {seen.height} pixels; facesep verify looks for marks in it")
        return
    if is_codes_file(path):
        try:
            faces = len(Codes.load(path).batch())
        except CodesError:
            pass
        else:
            say(f"{path}: facesep codes of {faces} face{'s' if faces > 1 else ''} (biometric data)")
            return
    try:
        picture = load_image(path)
    except ImageError:
        say(f"{path}: {identify(path)}")
    else:
        size = f"{picture.width} x {picture.height}"
        say(f"{path}: a picture of {size} pixels; facesep verify looks for marks in it")


def _preset(name: str) -> None:
    config = preset(name)
    encoder, decoder = model_size(config)
    total = Size(encoder.parameters + decoder.parameters, encoder.macs + decoder.macs)
    say(f"{name}: {config.decoder.image_size} pixels, for one face seen from the front")
    for part, size in (("encoder", encoder), ("decoder", decoder), ("both", total)):
        say(f"  {part}: {size}")


def model_size(config: ModelConfig) -> tuple[Size, Size]:
    """Sizes of encoder and decoder, with the multiply-adds of encoding and rendering one frontal face.

    The decoder runs for real, because which rays meet the head decides its work.
    """
    side = config.decoder.image_size
    with torch.device("meta"):
        encoder = count(build_encoder(config.encoder).eval(), torch.empty(1, 3, side, side))
    codes = Codes(**{name: torch.zeros(1, length) for name, length in CODE_SIZES.items()})
    return encoder, count(Decoder(config.decoder).eval(), codes)
