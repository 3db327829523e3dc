"""The steps of ``train/detector.py``, in order: sources, scenes, finder, pointer, pack, evaluate, named."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import facesep
from facesep.data.annotated import Source, read_sources
from facesep.training.face_detector.backgrounds import read_pictures
from facesep.training.face_detector.evaluate import as_markdown, evaluate
from facesep.training.face_detector.face_crops import write_face_crops
from facesep.training.face_detector.finder import FinderTraining
from facesep.training.face_detector.mining import mine
from facesep.training.face_detector.named import table
from facesep.training.face_detector.pointer import PointerTraining
from facesep.training.face_detector.scene_files import write_scenes
from facesep.training.face_detector.sources import SourceFile
from facesep.training.face_detector.training import pack
from facesep.training.face_detector.turned import turn

SCENE_SIDE = 288


class Both:
    """Portraits as they are and turned ones, as one sequence in which ``share`` are turned."""

    def __init__(self, work: Path, share: float = 0.35) -> None:
        self.straight = SourceFile(work / "sources" / "train")
        self._turned = SourceFile(work / "sources" / "train_turned")
        self._fold = round(len(self._turned) * (1 - share) / share)

    def __len__(self) -> int:
        return self._fold + len(self._turned)

    def __getitem__(self, index: int) -> Source:
        if index < self._fold:
            return self.straight[index % len(self.straight)]
        return self._turned[index - self._fold]


def run(options: argparse.Namespace) -> str:
    """Runs the step that the command line names and returns what to print."""
    return STEPS[options.step](options) or f"{options.step}: done"


def build_sources(options: argparse.Namespace) -> None:
    """Caches the portraits of the training split and ``--views`` synthetic views of them."""
    folder = options.work / "sources"
    if (folder / "train_turned" / "index.npz").exists():
        return
    straight = SourceFile.write(folder / "train", read_sources(options.portraits, "train", interocular=64))
    rng = np.random.default_rng(7)

    def views() -> Iterator[Source]:
        for _ in range(options.views):
            source = straight[int(rng.integers(len(straight)))]
            goal = np.clip(source.yaw + rng.choice((-1, 1)) * rng.uniform(15, 75), -78, 78)
            yield turn(source, float(goal) - source.yaw, float(rng.normal(0, 9)))

    SourceFile.write(folder / "train_turned", views())


def build_scenes(options: argparse.Namespace) -> None:
    """Composes the shards of scenes that are not there yet."""
    sources, pictures = Both(options.work), read_pictures(options.pictures)
    for shard in range(options.shards):
        folder, count = options.work / "scenes", options.scenes
        write_scenes(folder, sources, sources.straight, pictures, shard, count, SCENE_SIDE)


def train_finder(options: argparse.Namespace) -> None:
    """Trains the finder."""
    FinderTraining(options.work / "scenes", options.work / "finder", options.steps or 1900).run()


def train_pointer(options: argparse.Namespace) -> None:
    """Cuts crops of faces, and of what the finder takes for some, and trains the pointer."""
    crops = options.work / "crops.npz"
    if not crops.exists():
        sources, pictures = Both(options.work), read_pictures(options.pictures)
        finder = options.work / "finder" / "finder.safetensors"
        empty = mine(finder, sources.straight, pictures, options.empty)
        extra = options.empty * 2 // 3
        write_face_crops(crops, sources, sources.straight, pictures, len(sources), empty, extra)
    PointerTraining(crops, options.work / "pointer", options.steps or 2000).run()


def pack_both(options: argparse.Namespace) -> None:
    """Writes both networks in half precision."""
    target = options.out or Path(facesep.__file__).parent / "assets" / "faces"
    for name in ("finder", "pointer"):
        pack(options.work / name / f"{name}.safetensors", target, {"format": "pt"})


def measure(options: argparse.Namespace) -> str:
    """Measures the bundled detector."""
    report = evaluate(options.portraits, options.backgrounds)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return as_markdown(report)


def name_changes(options: argparse.Namespace) -> str:
    """Measures whether ``align`` names what is wrong with changed portraits."""
    return table(options.portraits)


STEPS = {
    "sources": build_sources,
    "scenes": build_scenes,
    "finder": train_finder,
    "pointer": train_pointer,
    "pack": pack_both,
    "evaluate": measure,
    "named": name_changes,
}
