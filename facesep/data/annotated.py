"""Annotated portraits: photos with labels of their pixels and a mesh, to learn from and to measure with.

The portraits folder holds ``index.csv`` (name, split, yaw in degrees), ``<name>.jpg``,
``<name>.label.png`` (0 background, 1 face, 2 hair, 3 body) and ``landmarks.npz`` (478 mesh points with
irises per photo, x and y in pixels, z in the same unit, smaller is nearer).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from facesep.data.portraits import IRISES, MOUTH_CORNERS, NOSE_TIP, PortraitSource

FIVE = (*IRISES, NOSE_TIP, *MOUTH_CORNERS)
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


def read_source(portraits: PortraitSource, name: str, interocular: float | None = None) -> Source:
    """One portrait, shrunk until its eyes are at most ``interocular`` pixels apart."""
    mesh, yaw = portraits.landmarks[name], float(portraits.rows[name]["yaw"])
    photo = Image.open(portraits.root / f"{name}.jpg").convert("RGB")
    label = Image.open(portraits.root / f"{name}.label.png")
    apart = float(np.linalg.norm(mesh[473, :2] - mesh[468, :2]))
    scale = 1.0 if interocular is None else min(1.0, interocular / apart)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    factor = np.array((size[0] / photo.width, size[1] / photo.height, scale), np.float32)
    if size != photo.size:
        photo, label = photo.resize(size, Image.LANCZOS), label.resize(size, Image.NEAREST)
    pixels = np.dstack((np.asarray(photo), np.asarray(label.convert("L"))))
    return Source(pixels, mesh * factor, yaw, name)


def read_sources(folder: Path, split: str, interocular: float | None = None) -> Iterator[Source]:
    """All portraits of a split, shrunk likewise."""
    portraits = PortraitSource(folder)
    for name, row in portraits.rows.items():
        if row["split"] == split:
            yield read_source(portraits, name, interocular)
