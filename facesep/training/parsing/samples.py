"""Annotated portraits as canonical crops with a margin and the parser's labels, in flat files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facesep.errors import FaceError
from facesep.faces.crop import Crop
from facesep.nets.face_parser import CLASSES
from facesep.training.faces.backgrounds import draw_shapes, gradient, noise, window, without_head
from facesep.training.faces.sources import Source, load_source, read_meshes, read_rows
from facesep.training.faces.turned import turn

SIZE = 384
"""Side of a sample in pixels."""
MARGIN = 1.5
"""Side of a sample as a multiple of the canonical window, which therefore measures 256 px."""
OUTSIDE, UNKNOWN = 254, 255
"""Labels of what the photo does not show, and of the holes of turned portraits."""
LEFT_OUT = ("gsa_18f",)
"""Sets whose photos are neither trained on nor measured."""

_INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
CONTOURS = (
    ("brows", (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)),
    ("brows", (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)),
    ("eyes", (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)),
    ("eyes", (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)),
    ("lips", (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)),
    ("mouth", _INNER_LIPS),
)
"""Parts of the face as polygons of MediaPipe's mesh, painted in this order."""
_FINE = 4


def paint_parts(labels: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Adds brows, eyes, lips and the inside of the mouth to a label map.

    Only skin is painted over: hair before a brow stays hair.

    Args:
        labels: ``uint8[H, W]``: 0 background, 1 skin, 2 hair, 3 body; other values stay.
        mesh: ``[478, 2 or 3]`` landmarks in pixels of the map.

    Returns:
        ``uint8[H, W]``, indices into :data:`facesep.nets.face_parser.CLASSES`.
    """
    painted, skin = labels.copy(), labels == CLASSES.index("skin")
    size = (labels.shape[1] * _FINE, labels.shape[0] * _FINE)
    for name, contour in CONTOURS:
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([tuple(p) for p in (mesh[list(contour), :2] * _FINE).tolist()], fill=255)
        inside = np.asarray(mask.reduce(_FINE)) > 127
        painted[inside & skin] = CLASSES.index(name)
    return painted


def sample(source: Source, size: int = SIZE, margin: float = MARGIN, empty: int = OUTSIDE) -> np.ndarray:
    """A portrait's canonical crop, with a margin around it.

    Args:
        source: the portrait.
        size: side of the result in pixels.
        margin: its side as a multiple of the canonical window.
        empty: the label of what lies outside the photo.

    Returns:
        ``uint8[size, size, 4]``: RGB (white outside the photo) and the label.

    Raises:
        FaceError: if the landmarks give no crop.
    """
    crop = Crop.from_points(source.points)
    side = crop.side * margin
    crop = Crop(crop.left - (side - crop.side) / 2, crop.top - (side - crop.side) / 2, side)
    photo = crop.apply(Image.fromarray(source.pixels[..., :3]), size)
    labels = crop.apply(Image.fromarray(source.pixels[..., 3]), size, fill=empty, resample=Image.NEAREST)
    mesh = crop.to_canonical(source.mesh[:, :2], size)
    return np.dstack((np.asarray(photo), paint_parts(np.asarray(labels), mesh)))


def rows_of(folder: Path, split: str) -> list[dict[str, str]]:
    """The table's rows of a split, without the sets that are left out."""
    return [row for row in read_rows(folder, split) if row["name"].partition("/")[0] not in LEFT_OUT]


def portraits(folder: Path, split: str, limit: int | None = None) -> Iterator[Source]:
    """The annotated portraits of a split, at most ``limit``, taken evenly."""
    meshes, rows = read_meshes(folder), rows_of(folder, split)
    chosen = np.linspace(0, len(rows) - 1, min(limit or len(rows), len(rows))).round().astype(int)
    for row in (rows[index] for index in chosen):
        mesh = meshes.get(row["name"])
        if mesh is not None and np.isfinite(mesh).all():
            yield load_source(folder, row, mesh)


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

    _write(work / "straight.npy", samples(), len(rows_of(folder, "train")), (SIZE, SIZE, 4))


def write_turned(folder: Path, work: Path, count: int, seed: int = 3) -> None:
    """Writes ``turned.npy``: train portraits with the head turned by 10 to 50 degrees to either side.

    Hardly any portrait looks aside. The views are drawn on a depth surface
    (:mod:`facesep.training.faces.turned`); what they uncover has the label ``UNKNOWN``.
    """
    rng = np.random.default_rng(seed)
    sharp = [row for row in rows_of(folder, "train") if row["good_at_256"] == "1"]
    meshes = read_meshes(folder)

    def samples() -> Iterator[np.ndarray]:
        while True:
            row = sharp[int(rng.integers(len(sharp)))]
            source = load_source(folder, row, meshes[row["name"]], interocular=70)
            yaw = float(rng.choice((-1, 1)) * rng.uniform(10, 50))
            try:
                view = turn(source, yaw, float(rng.normal(0, 8)), size=366, dense=512)
                yield sample(view, empty=UNKNOWN)
            except FaceError:
                continue

    _write(work / "turned.npy", samples(), count, (SIZE, SIZE, 4))


def write_backgrounds(folder: Path, work: Path, count: int, seed: int = 5) -> None:
    """Writes ``backgrounds.npy``: ``count`` pictures of 256 px without a head, real and drawn."""
    rng = np.random.default_rng(seed)
    rows, meshes = rows_of(folder, "train"), read_meshes(folder)

    def pictures() -> Iterator[np.ndarray]:
        while True:
            kind = rng.random()
            if kind < 0.6:
                row = rows[int(rng.integers(len(rows)))]
                source = load_source(folder, row, meshes[row["name"]], interocular=64)
                picture = window(rng, without_head(rng, source), 256, 0.5)
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
