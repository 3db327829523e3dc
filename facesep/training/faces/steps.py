"""The steps of ``train/detector.py``, in order: sources, scenes, finder, pointer, pack, evaluate."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facesep.training.faces.sources import Source, SourceFile, load_source, read_meshes, read_rows

SCENE_SIDE = 288


class Both:
    """Portraits as they are and turned ones, as one sequence in which ``share`` are turned."""

    def __init__(self, straight: SourceFile, turned: SourceFile, share: float = 0.35) -> None:
        self.straight, self._turned = straight, turned
        self._fold = round(len(turned) * (1 - share) / share)

    def __len__(self) -> int:
        return self._fold + len(self._turned)

    def __getitem__(self, index: int) -> Source:
        if index < self._fold:
            return self.straight[index % len(self.straight)]
        return self._turned[index - self._fold]


def build_sources(portraits: Path, folder: Path, turned: int) -> None:
    """Caches the portraits of the training split and ``turned`` synthetic views of them."""
    from facesep.training.faces.turned import turn

    if (folder / "train_turned" / "index.npz").exists():
        return
    meshes, rng = read_meshes(portraits), np.random.default_rng(7)
    rows = read_rows(portraits, "train")
    straight = SourceFile.write(
        folder / "train", (load_source(portraits, row, meshes[row["name"]], interocular=64) for row in rows)
    )

    def views() -> Iterator[Source]:
        for _ in range(turned):
            source = straight[int(rng.integers(len(straight)))]
            goal = np.clip(source.yaw + rng.choice((-1, 1)) * rng.uniform(15, 75), -78, 78)
            yield turn(source, float(goal) - source.yaw, float(rng.normal(0, 9)))

    SourceFile.write(folder / "train_turned", views())


def open_sources(work: Path) -> Both:
    """What :func:`build_sources` wrote."""
    return Both(SourceFile(work / "sources" / "train"), SourceFile(work / "sources" / "train_turned"))


def run(options: argparse.Namespace) -> str:
    """Runs the step that the command line names and returns what to print."""
    if options.step == "sources":
        build_sources(options.portraits, options.work / "sources", options.views)
    elif options.step == "scenes":
        from facesep.training.faces.backgrounds import read_pictures
        from facesep.training.faces.scene_files import write_scenes

        sources, pictures = open_sources(options.work), read_pictures(options.pictures)
        for shard in range(options.shards):
            write_scenes(
                options.work / "scenes",
                sources,
                sources.straight,
                pictures,
                shard,
                options.scenes,
                SCENE_SIDE,
            )
    elif options.step == "finder":
        from facesep.training.faces.finder import train_finder

        train_finder(options.work / "scenes", options.work / "finder", options.steps or 1900)
    elif options.step == "pointer":
        _pointer(options)
    elif options.step == "pack":
        _pack(options.work, options.out)
    elif options.step == "evaluate":
        return _evaluate(options)
    return f"{options.step}: done"


def _pointer(options: argparse.Namespace) -> None:
    from facesep.training.faces.backgrounds import read_pictures
    from facesep.training.faces.face_crops import write_face_crops
    from facesep.training.faces.mining import mine
    from facesep.training.faces.pointer import train_pointer

    crops = options.work / "crops.npz"
    if not crops.exists():
        sources, pictures = open_sources(options.work), read_pictures(options.pictures)
        empty = mine(
            options.work / "finder" / "finder.safetensors", sources.straight, pictures, options.empty
        )
        write_face_crops(
            crops, sources, sources.straight, pictures, len(sources), empty, options.empty * 2 // 3
        )
    train_pointer(crops, options.work / "pointer", options.steps or 2000)


def _pack(work: Path, target: Path | None) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    target = target or Path(__file__).parents[2] / "assets" / "faces"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("finder", "pointer"):
        weights = load_file(work / name / f"{name}.safetensors")
        kept = {key: value.half() for key, value in weights.items() if value.is_floating_point()}
        if not all(torch.isfinite(value).all() for value in kept.values()):
            raise SystemExit(f"{name} has weights that half precision cannot hold")
        save_file(kept, target / f"{name}.safetensors", {"format": "pt"})


def _evaluate(options: argparse.Namespace) -> str:
    from facesep.training.faces.evaluate import as_markdown, evaluate

    report = evaluate(options.portraits, options.backgrounds)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))
    return as_markdown(report)
