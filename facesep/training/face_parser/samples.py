"""The parser's training data in flat files: portraits, turned portraits, and pictures without a head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from facesep.data.annotated import read_source
from facesep.data.part_labels import SIZE, UNKNOWN, names_of, portraits, sample
from facesep.data.portraits import PortraitSource
from facesep.errors import FaceError
from facesep.training.face_detector.backgrounds import draw_shapes, gradient, noise, window, without_head
from facesep.training.face_detector.turned import turn


def _write(path: Path, arrays: Iterator[np.ndarray], count: int, shape: tuple[int, ...]) -> None:
    """Writes up to ``count`` arrays as one ``.npy``; the file appears under its name when it is complete."""
    partial = path.with_suffix(".partial")
    store = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, *shape))
    written = 0
    for array in arrays:
        store[written] = array
        written += 1
        if written == count:
            break
    store.flush()
    if written < count:
        shorter = np.lib.format.open_memmap(path.with_suffix(".shorter"), "w+", np.uint8, (written, *shape))
        shorter[:] = store[:written]
        shorter.flush()
        path.with_suffix(".shorter").replace(partial)
    partial.replace(path)


def write_straight(folder: Path, work: Path) -> None:
    """Writes ``straight.npy``: the train portraits as they are."""

    def samples() -> Iterator[np.ndarray]:
        for source in portraits(folder, "train"):
            try:
                yield sample(source)
            except FaceError:
                continue

    _write(work / "straight.npy", samples(), len(names_of(PortraitSource(folder), "train")), (SIZE, SIZE, 4))


def write_turned(folder: Path, work: Path, count: int, seed: int = 3) -> None:
    """Writes ``turned.npy``: train portraits with the head turned by 10 to 50 degrees to either side.

    Hardly any portrait looks aside. The views are drawn on a depth surface
    (``facesep.training.face_detector.turned``); what they uncover has the label ``UNKNOWN``.
    """
    rng = np.random.default_rng(seed)
    source = PortraitSource(folder)
    sharp = [name for name in names_of(source, "train") if source.rows[name]["good_at_256"] == "1"]

    def samples() -> Iterator[np.ndarray]:
        while True:
            portrait = read_source(source, sharp[int(rng.integers(len(sharp)))], interocular=70)
            yaw = float(rng.choice((-1, 1)) * rng.uniform(10, 50))
            try:
                view = turn(portrait, yaw, float(rng.normal(0, 8)), size=366, dense=512)
                yield sample(view, empty=UNKNOWN)
            except FaceError:
                continue

    _write(work / "turned.npy", samples(), count, (SIZE, SIZE, 4))


def write_backgrounds(folder: Path, work: Path, count: int, seed: int = 5) -> None:
    """Writes ``backgrounds.npy``: ``count`` pictures of 256 px without a head, real and drawn."""
    rng = np.random.default_rng(seed)
    source = PortraitSource(folder)
    names = names_of(source, "train")

    def pictures() -> Iterator[np.ndarray]:
        while True:
            kind = rng.random()
            if kind < 0.6:
                portrait = read_source(source, names[int(rng.integers(len(names)))], interocular=64)
                picture = window(rng, without_head(rng, portrait), 256, 0.5)
            elif kind < 0.8:
                picture = noise(rng, 256)
            else:
                picture = gradient(rng, 256)
            if rng.random() < 0.4:
                draw_shapes(rng, picture, int(rng.integers(1, 9)))
            yield np.asarray(picture)

    _write(work / "backgrounds.npy", pictures(), count, (256, 256, 3))


def prepare(folder: Path, work: Path, turned: int, backgrounds: int) -> None:
    """Writes what is missing of the three files of training data."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "backgrounds.npy").exists():
        write_backgrounds(folder, work, backgrounds)
    if not (work / "straight.npy").exists():
        write_straight(folder, work)
    if turned and not (work / "turned.npy").exists():
        write_turned(folder, work, turned)


def open_samples(work: Path) -> Sequence[np.ndarray]:
    """The memory maps ``straight``, ``turned`` (or None) and ``backgrounds``."""
    names = ("straight", "turned", "backgrounds")
    paths = [work / f"{name}.npy" for name in names]
    return [np.load(path, mmap_mode="r") if path.exists() else None for path in paths]
