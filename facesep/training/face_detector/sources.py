"""Annotated portraits, shrunk and kept in one flat file, so that scenes are composed quickly."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from facesep.data.annotated import Source


class SourceFile:
    """Many sources in ``<folder>/pixels.bin`` and ``<folder>/index.npz``, read through a memory map."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "index.npz") as index:
            self._shapes, self._meshes, self._yaws = index["shapes"], index["meshes"], index["yaws"]
        self._names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
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
        (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
        return SourceFile(folder)
