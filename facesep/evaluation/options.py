"""Options that the evaluation scripts share, and what they stand for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from facesep.data.heads import ShardPhotos, mean_face
from facesep.errors import ConfigError, DataError
from facesep.evaluation import comparison
from facesep.evaluation.estimators import POSES, Estimator, build_estimator
from facesep.evaluation.folder import FolderPhotos
from facesep.evaluation.identity import ArcFaceIdentity, DlibIdentity
from facesep.evaluation.metrics import SSIM_WINDOWS
from facesep.evaluation.perceptual import TRUNKS, lpips_distance, st_lpips_distance
from facesep.evaluation.renders import LOOKED_AT, Renders
from facesep.faces.parsing import PARSERS
from facesep.model import FaceSep

Photos = ShardPhotos | FolderPhotos


def add_data(parser: argparse.ArgumentParser) -> None:
    """Where the photos come from."""
    group = parser.add_argument_group("photos: prepared shards, or a folder of photos")
    add_shards(group, required=False)
    group.add_argument(
        "--photos", help="with --shards: the originals, to detect and align; alone: any photo folder"
    )
    group.add_argument("--parser", choices=PARSERS, help="head masks of photos without NAME.mask.png")
    group.add_argument("--parser-weights", metavar="DIR", help="folder with the parser's weights")
    group.add_argument("--limit", type=int, help="only so many photos, taken evenly")


def add_shards(parser: argparse._ActionsContainer, required: bool = True) -> None:
    """Prepared data."""
    parser.add_argument("--shards", required=required, help="folder written by train/prepare_data.py")
    parser.add_argument("--split", default="val", choices=("train", "val", "test"))


def add_measures(parser: argparse.ArgumentParser) -> None:
    """What is measured."""
    group = parser.add_argument_group("measures; each choice is named in the output")
    group.add_argument("--lpips", default="alex", choices=(*TRUNKS, "none"), help="trunk of LPIPS")
    group.add_argument("--lpips-weights", metavar="FILE", help="torchvision's file of that trunk")
    group.add_argument("--st-lpips", metavar="FILE", help="adds ST-LPIPS from a safetensors file")
    group.add_argument("--identity", default="dlib", choices=("dlib", "none"))
    group.add_argument("--arcface", metavar="FILE", help="adds ArcFace, as in the paper (imported weights)")
    group.add_argument("--region", default="whole", choices=("whole", "head"), help="of L1 and SSIM")
    group.add_argument("--ssim-window", default="gaussian", choices=SSIM_WINDOWS)
    group.add_argument(
        "--background", default="white", choices=("white", "photo"), help="behind photos in the estimator"
    )
    add_estimator(parser)


def add_estimator(parser: argparse.ArgumentParser) -> None:
    """What reads attributes off pictures."""
    group = parser.add_argument_group("attribute estimator")
    group.add_argument(
        "--estimator",
        default="none",
        metavar="NAME",
        help="deep3d=FILE (imported R-Net, as in the paper), open (needs the three below), "
        "encoder=CHECKPOINT or none",
    )
    group.add_argument("--morphable", metavar="FILE", help="open: the ICT face model")
    group.add_argument("--labels", metavar="FILE", help="open: label file of train/analyse.py")
    group.add_argument("--landmarks", metavar="COMMAND", help="open: landmark tool (docs/evaluation.md)")
    group.add_argument("--pose", default="rotation", choices=POSES, help="what counts as the pose")


def add_run(parser: argparse.ArgumentParser) -> None:
    """How it runs."""
    group = parser.add_argument_group("run")
    group.add_argument("--batch", type=int, default=16, help="photos or sets at a time")
    group.add_argument("--work", metavar="DIR", help="keeps what is done: a stopped run goes on from there")
    group.add_argument("--seed", type=int, default=0, help="of draws and of the bootstrap")
    add_device(group)
    add_out(group)


def add_fit(parser: argparse._ActionsContainer) -> None:
    """Gradient steps of the codes."""
    parser.add_argument(
        "--fit", type=int, default=0, metavar="N", help="gradient steps on each photo's codes; not zero-shot"
    )


def add_device(parser: argparse._ActionsContainer) -> None:
    """Where the networks run."""
    parser.add_argument("--device", default="cpu")


def add_out(parser: argparse._ActionsContainer) -> None:
    """The report."""
    parser.add_argument("--out", help="eval.json to write or to add to")


def add_checkpoint(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Which weights are measured."""
    if several:
        parser.add_argument(
            "--checkpoint",
            action="append",
            metavar="[NAME=]CHECKPOINT",
            help="folder, Hub repository (user/repo@revision) or 'bundled'; may be given several times. "
            "The first is the one that the report belongs to; the bundled one by default",
        )
    else:
        parser.add_argument("--checkpoint", help="folder or Hub repository; the bundled one by default")


def add_renders(parser: argparse.ArgumentParser) -> None:
    """Pictures of other methods."""
    parser.add_argument(
        "--renders",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a method's pictures of the same photos, NAME.png on white at the size of the checkpoint",
    )
    parser.add_argument("--partial", action="store_true", help="measure renders of some of the photos")


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


def open_estimator(args: argparse.Namespace) -> Estimator | None:
    """The attribute estimator that the options name."""
    return build_estimator(
        args.estimator,
        morphable=args.morphable,
        labels=args.labels,
        landmarks=args.landmarks,
        device=args.device,
    )


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
    return comparison.Measures(
        perceptual,
        identities,
        open_estimator(args),
        args.region,
        args.ssim_window,
        args.pose,
        args.background,
    )


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
        print(f"alignment of {one.name}: {result}", file=sys.stderr)  # noqa: T201
    return found


def mean_picture(args: argparse.Namespace, photos: Photos) -> Tensor:
    """Mean of the training photos of the shards, or of the folder's own photos."""
    if args.shards:
        return mean_face(args.shards, photos.size)
    total, count = torch.zeros(3, photos.size, photos.size), 0
    for photo in photos:
        total += photo.target
        count += 1
    if not count:
        raise DataError("none of the photos can be used: detection refused them all")
    return total / count


def where(args: argparse.Namespace) -> str:
    """The data in a title: split and kind of crops."""
    if not args.shards:
        return f"{Path(args.photos).name} folder"
    return f"{args.split} {'photos' if args.photos else 'crops'}"
