"""Annotated portraits, shrunk and kept in one flat file, so that scenes are composed quickly.

The portraits folder holds ``index.csv`` (name, split, yaw in degrees), ``<name>.jpg``,
``<name>.label.png`` (0 background, 1 face, 2 hair, 3 body) and ``landmarks.npz`` (478 mesh points with
irises per photo, x and y in pixels, z in the same unit, smaller is nearer).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

FIVE = (468, 473, 4, 61, 291)
"""Mesh indices of the irises, the nose tip and the mouth corners, image left first."""
OUTLINE = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Mesh indices around the face, from the forehead past the image-right cheek and the chin."""


@dataclass
class Source:
    """One annotated picture of one face.

    Attributes:
        pixels: ``uint8[H, W, 4]``, RGB and the label (255: not part of the picture).
        mesh: ``float32[478, 3]`` landmarks in pixels of ``pixels``.
        yaw: degrees, positive when the nose points to image right.
        name: which portrait it comes from.
    """

    pixels: np.ndarray
    mesh: np.ndarray
    yaw: float
    name: str

    @property
    def points(self) -> np.ndarray:
        """``[5, 2]`` eyes, nose tip, mouth corners, image left first."""
        return self.mesh[list(FIVE), :2]

    @property
    def outline(self) -> np.ndarray:
        """``[36, 2]`` the oval around the face."""
        return self.mesh[list(OUTLINE), :2]


def face_box(outline: np.ndarray) -> np.ndarray:
    """``[4]`` left, top, right, bottom of an oval ``[N, 2]``: the face box of this project."""
    return np.concatenate((outline.min(0), outline.max(0)))


def read_rows(portraits: Path, split: str | None) -> list[dict[str, str]]:
    """Rows of ``index.csv`` of one split (``train``, ``val``) or of all."""
    with (portraits / "index.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if split in (None, row["split"])]


def read_meshes(portraits: Path) -> dict[str, np.ndarray]:
    """Landmarks by name, ``float32[478, 3]`` each."""
    with np.load(portraits / "landmarks.npz") as file:
        return dict(zip(file["names"].tolist(), file["landmarks"], strict=True))


def load_source(
    portraits: Path, row: dict[str, str], mesh: np.ndarray, interocular: float | None = None
) -> Source:
    """Reads one portrait, shrunk until its eyes are at most ``interocular`` pixels apart."""
    photo = Image.open(portraits / f"{row['name']}.jpg").convert("RGB")
    label = Image.open(portraits / f"{row['name']}.label.png")
    apart = float(np.linalg.norm(mesh[473, :2] - mesh[468, :2]))
    scale = 1.0 if interocular is None else min(1.0, interocular / apart)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    factor = np.array((size[0] / photo.width, size[1] / photo.height, scale), np.float32)
    if size != photo.size:
        photo, label = photo.resize(size, Image.LANCZOS), label.resize(size, Image.NEAREST)
    pixels = np.dstack((np.asarray(photo), np.asarray(label.convert("L"))))
    return Source(pixels, mesh * factor, float(row["yaw"]), row["name"])


class SourceFile:
    """Many sources in ``<folder>/pixels.bin`` and ``<folder>/index.npz``, read through a memory map."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "index.npz") as index:
            self._shapes, self._meshes, self._yaws = index["shapes"], index["meshes"], index["yaws"]
        self._names = json.loads((folder / "names.json").read_text())
        self._starts = np.concatenate(([0], np.cumsum(self._shapes.astype(np.int64).prod(1) * 4)))
        self._pixels = np.memmap(folder / "pixels.bin", np.uint8, "r")

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Source:
        height, width = self._shapes[index]
        flat = self._pixels[self._starts[index] : self._starts[index + 1]]
        return Source(
            np.asarray(flat).reshape(height, width, 4),
            self._meshes[index],
            float(self._yaws[index]),
            self._names[index],
        )

    @staticmethod
    def write(folder: Path, sources: Iterable[Source]) -> SourceFile:
        """Writes sources as they come and opens the result."""
        folder.mkdir(parents=True, exist_ok=True)
        shapes, meshes, yaws, names = [], [], [], []
        with (folder / "pixels.bin").open("wb") as file:
            for source in sources:
                file.write(np.ascontiguousarray(source.pixels).tobytes())
                shapes.append(source.pixels.shape[:2])
                meshes.append(source.mesh)
                yaws.append(source.yaw)
                names.append(source.name)
        np.savez(
            folder / "index.npz",
            shapes=np.array(shapes, np.int32),
            meshes=np.array(meshes, np.float32),
            yaws=np.array(yaws, np.float32),
        )
        (folder / "names.json").write_text(json.dumps(names))
        return SourceFile(folder)
