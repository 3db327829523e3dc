"""Options that the evaluation scripts share, and what they stand for."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from facesep.data.heads import ShardPhotos, mean_face, mean_of
from facesep.errors import ConfigError
from facesep.evaluation import comparison
from facesep.evaluation.estimators import POSES, CheckpointEncoder, Deep3D, Estimator
from facesep.evaluation.folder import FolderPhotos
from facesep.evaluation.identity import ArcFaceIdentity, DlibIdentity
from facesep.evaluation.metrics import SSIM_WINDOWS
from facesep.evaluation.open_analysis import OpenAnalysis
from facesep.evaluation.perceptual import TRUNKS, lpips_distance, st_lpips_distance
from facesep.evaluation.renders import LOOKED_AT, Renders
from facesep.evaluation.report import read_report
from facesep.faces.parsing import PARSERS
from facesep.model import FaceSep

logger = logging.getLogger(__name__)

Photos = ShardPhotos | FolderPhotos


def report_file(path: str) -> str:
    """A path to which a report can be written, told before hours of work rather than after them.

    Raises:
        argparse.ArgumentTypeError: if its folder is missing or the file holds something else.
    """
    try:
        if os.path.exists(path):
            read_report(path)
        elif not os.path.isdir(os.path.dirname(path) or "."):
            raise ConfigError(f"the folder of {path} does not exist: make it first")
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


OPTIONS: dict[str, dict[str, Any]] = {
    "checkpoint": {"help": "folder or Hub repository; the bundled one by default"},
    "portraits": {"required": True, "help": "folder with index.csv and photos"},
    "without": {"nargs": "*", "default": [], "metavar": "SET", "help": "sets that are left out"},
    "shards": {"help": "folder written by train/prepare_data.py"},
    "split": {"default": "val", "choices": ("train", "val", "test")},
    "photos": {"help": "with --shards: the originals, to detect and align; alone: any photo folder"},
    "parser": {"choices": PARSERS, "help": "head masks of photos without NAME.mask.png"},
    "parser-weights": {"metavar": "DIR", "help": "folder with the parser's weights"},
    "limit": {"type": int, "help": "only so many photos, taken evenly"},
    "lpips": {"default": "alex", "choices": (*TRUNKS, "none"), "help": "trunk of LPIPS"},
    "lpips-weights": {"metavar": "FILE", "help": "torchvision's file of that trunk"},
    "st-lpips": {"metavar": "FILE", "help": "adds ST-LPIPS from a safetensors file"},
    "identity": {"default": "dlib", "choices": ("dlib", "none")},
    "arcface": {"metavar": "FILE", "help": "adds ArcFace, as in the paper (imported weights)"},
    "region": {"default": "whole", "choices": ("whole", "head"), "help": "of L1 and SSIM"},
    "ssim-window": {"default": "gaussian", "choices": SSIM_WINDOWS},
    "background": {
        "default": "white",
        "choices": ("white", "photo"),
        "help": "behind photos in the estimator",
    },
    "estimator": {
        "default": "none",
        "metavar": "NAME",
        "help": "deep3d=FILE (imported R-Net, as in the paper), open (needs the three below), "
        "encoder=CHECKPOINT or none",
    },
    "morphable": {"metavar": "FILE", "help": "open: the ICT face model"},
    "labels": {"metavar": "FILE", "help": "open: label file of train/analyse.py"},
    "landmarks": {"metavar": "COMMAND", "help": "open: landmark tool (docs/evaluation.md)"},
    "pose": {"default": "rotation", "choices": POSES, "help": "what counts as the pose"},
    "batch": {"type": int, "default": 16, "help": "photos or sets at a time"},
    "work": {"metavar": "DIR", "help": "keeps what is done: a stopped run goes on from there"},
    "seed": {"type": int, "default": 0, "help": "of draws and of the bootstrap"},
    "fit": {
        "type": int,
        "default": 0,
        "metavar": "N",
        "help": "gradient steps on each photo's codes; not zero-shot",
    },
    "renders": {
        "action": "append",
        "default": [],
        "metavar": "NAME=DIR",
        "help": "a method's pictures of the same photos, NAME.png on white at the size of the checkpoint",
    },
    "partial": {"action": "store_true", "help": "measure renders of some of the photos"},
    "device": {"default": "cpu"},
    "out": {"type": report_file, "help": "eval.json to write or to add to"},
}
"""Every shared option by its name, as ``argparse.ArgumentParser.add_argument`` takes it."""

SHARDS = ("shards", "split")
DATA = (*SHARDS, "photos", "parser", "parser-weights", "limit")
MEASURES = (
    *("lpips", "lpips-weights", "st-lpips", "identity", "arcface", "region", "ssim-window", "background"),
)
ESTIMATOR = ("estimator", "morphable", "labels", "landmarks", "pose")
RUN = ("batch", "work", "seed", "device", "out")
RENDERS = ("renders", "partial")


def add(parser: argparse._ActionsContainer, *names: str, **changes: Any) -> None:
    """Adds shared options.

    Args:
        parser: the script's, or a group of it.
        *names: keys of ``OPTIONS``.
        **changes: what is different here, such as ``required=True``.
    """
    for name in names:
        parser.add_argument(f"--{name}", **OPTIONS[name] | changes)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Where the photos come from."""
    add(parser.add_argument_group("photos: prepared shards, or a folder of photos"), *DATA)


def add_measures(parser: argparse.ArgumentParser) -> None:
    """What is measured."""
    add(parser.add_argument_group("measures; each choice is named in the output"), *MEASURES)
    add_estimator(parser)


def add_estimator(parser: argparse.ArgumentParser) -> None:
    """What reads attributes off pictures."""
    add(parser.add_argument_group("attribute estimator"), *ESTIMATOR)


def add_run(parser: argparse.ArgumentParser) -> None:
    """How it runs."""
    add(parser.add_argument_group("run"), *RUN)


def add_checkpoints(parser: argparse.ArgumentParser) -> None:
    """Which weights are measured, several of them."""
    parser.add_argument(
        "--checkpoint",
        action="append",
        metavar="[NAME=]CHECKPOINT",
        help="folder, Hub repository (user/repo@revision) or 'bundled'; may be given several times. "
        "The first is the one that the report belongs to; the bundled one by default",
    )


def named(given: Sequence[str] | None) -> dict[str, str | None]:
    """Checkpoints by name: ``full=RUN`` is named so, others by the last part of their path.

    Raises:
        ConfigError: if two have one name.
    """
    found: dict[str, str | None] = {}
    for text in given or ["facesep=bundled"]:
        name, separator, checkpoint = text.partition("=")
        if not separator:
            name, checkpoint = text.rstrip("/").rpartition("/")[2], text
        if not name or not checkpoint or name in found:
            raise ConfigError(f"{text!r}: give each checkpoint a name of its own, as in NAME=CHECKPOINT")
        found[name] = None if checkpoint == "bundled" else checkpoint
    return found


def open_models(checkpoints: Mapping[str, str | None], device: str) -> dict[str, FaceSep]:
    """Loads all of them."""
    return {name: FaceSep.from_pretrained(one).to(device) for name, one in checkpoints.items()}


def open_shards(args: argparse.Namespace, limited: bool = True) -> tuple[FaceSep, ShardPhotos]:
    """The model and the photos of a script that measures one checkpoint on prepared shards.

    Args:
        args: the script's options.
        limited: whether its ``--limit``, if it has one, counts photos.
    """
    sep = FaceSep.from_pretrained(args.checkpoint).to(args.device)
    folder, limit = getattr(args, "photos", None), getattr(args, "limit", None) if limited else None
    return sep, ShardPhotos(args.shards, args.split, sep.image_size, folder, sep.align, limit=limit)


def open_photos(args: argparse.Namespace, sep: FaceSep) -> Photos:
    """The photos that the options name.

    Raises:
        ConfigError: if neither shards nor a folder are given, or numbers make no sense.
    """
    if args.limit is not None and args.limit < 1 or getattr(args, "batch", 1) < 1:
        raise ConfigError("--limit and --batch must be at least 1")
    if args.shards:
        return ShardPhotos(args.shards, args.split, sep.image_size, args.photos, sep.align, limit=args.limit)
    if args.photos:
        return FolderPhotos(
            args.photos, sep.image_size, sep.align, args.parser, args.parser_weights, args.limit
        )
    raise ConfigError("give --shards (prepared data) or --photos (a folder of photos)")


def build_estimator(
    text: str,
    *,
    morphable: str | None = None,
    labels: str | None = None,
    landmarks: str | None = None,
    device: str = "cpu",
) -> Estimator | None:
    """The estimator that a command line names.

    Args:
        text: ``none``, ``deep3d=FILE``, ``encoder=CHECKPOINT`` or ``open``.
        morphable: the face model, for ``open``.
        labels: the label file, for ``open``.
        landmarks: command of the landmark tool, for ``open``.
        device: where networks compute.

    Raises:
        ConfigError: for anything else, or if a part of the open analysis is missing.
    """
    kind, _, value = text.partition("=")
    if text == "none":
        return None
    if kind == "deep3d" and value:
        return Deep3D(value, device)
    if kind == "encoder" and value:
        return CheckpointEncoder(value, device)
    if text == "open":
        given = {"--morphable": morphable, "--labels": labels, "--landmarks": landmarks}
        missing = [name for name, one in given.items() if not one]
        if missing:
            raise ConfigError(f"the open analysis also needs {', '.join(missing)} (docs/evaluation.md)")
        return OpenAnalysis.load(morphable, labels, landmarks)
    raise ConfigError(
        f"unknown estimator {text!r}: none, open, deep3d=FILE or encoder=CHECKPOINT (or encoder=bundled)"
    )


def open_estimator(args: argparse.Namespace) -> Estimator | None:
    """The attribute estimator that the options name."""
    files = {name: getattr(args, name) for name in ("morphable", "labels", "landmarks", "device")}
    return build_estimator(args.estimator, **files)


def open_measures(args: argparse.Namespace) -> comparison.Measures:
    """The measures that the options name."""
    perceptual = []
    if args.lpips != "none":
        perceptual.append(lpips_distance(args.lpips, args.lpips_weights, args.device))
    if args.st_lpips:
        perceptual.append(st_lpips_distance(args.st_lpips, args.device))
    identities: list[comparison.Identity] = []
    if args.arcface:
        identities.append(ArcFaceIdentity(args.arcface, args.device))
    if args.identity == "dlib":
        identities.append(DlibIdentity())
    choices = (args.region, args.ssim_window, args.pose, args.background)
    return comparison.Measures(perceptual, identities, open_estimator(args), *choices)


def open_renders(args: argparse.Namespace, photos: Photos) -> list[Renders]:
    """The folders of other methods' pictures, checked.

    Raises:
        ConfigError: for a method without name.
        DataError: for missing, misaligned or refined pictures.
    """
    found = []
    for text in args.renders:
        name, separator, folder = text.partition("=")
        if not separator or not name or not folder:
            raise ConfigError(f"{text!r}: name the method, as in --renders NAME=DIR")
        found.append(Renders(name, folder, photos.size))
    names = [photos.name(place) for place in range(len(photos))] if found else []
    for one in found:
        one.check(names, args.partial)
        there = [place for place, name in enumerate(names) if one.path(name) is not None]
        some = (photos.read(place) for place in there[: 2 * LOOKED_AT])
        apart = one.check_alignment([photo for photo in some if photo is not None])
        result = "not checked, no face was found" if apart is None else f"off by {100 * apart:.1f} %"
        logger.info("alignment of %s: %s", one.name, result)
    return found


def mean_picture(args: argparse.Namespace, photos: Photos) -> Tensor:
    """Mean of the training photos of the shards, or of the folder's own photos."""
    return mean_face(args.shards, photos.size) if args.shards else mean_of(photos)


def where(args: argparse.Namespace) -> str:
    """The data in a title: split and kind of crops."""
    if not args.shards:
        return f"{Path(args.photos).name} folder"
    return f"{args.split} {'photos' if args.photos else 'crops'}"
