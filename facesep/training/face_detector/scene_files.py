"""Scenes on disk: shards of JPEG bytes in one file with their boxes beside it."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from facesep.data.annotated import Source
from facesep.training.face_detector.scenes import as_jpeg, compose


def write_scenes(
    folder: Path,
    sources: Sequence[Source],
    straight: Sequence[Source],
    pictures: Sequence[Image.Image],
    shard: int,
    count: int,
    side: int,
    seed: int = 0,
) -> bool:
    """Composes one shard; false when it was there already. A stopped run leaves no half shard.

    Args:
        folder: where shards are kept.
        sources: portraits to paste.
        straight: portraits whose heads are painted out for backgrounds.
        pictures: further pictures without a face.
        shard: its number; decides the random numbers together with ``seed``.
        count: scenes in the shard.
        side: of a scene, pixels.
        seed: of the set of shards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"scenes-{shard:04d}.npz"
    if table.exists():
        return False
    rng = np.random.default_rng((seed, shard))
    starts, owners, boxes = [0], [], []
    with (folder / f"scenes-{shard:04d}.bin").open("wb") as file:
        for index in range(count):
            scene = compose(rng, sources, straight, pictures, side)
            data = as_jpeg(rng, scene.image)
            file.write(data)
            starts.append(starts[-1] + len(data))
            owners += [index] * len(scene.boxes)
            boxes.append(scene.boxes)
    partial = folder / f"partial-{shard:04d}.npz"
    np.savez(partial, starts=np.array(starts), owners=np.array(owners, int), boxes=np.concatenate(boxes))
    os.replace(partial, table)
    return True


class SceneFiles:
    """All finished shards of a folder; ``refresh`` finds those written meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._items: list[tuple[Path, int, int, np.ndarray]] = []
        self._known: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Adds shards that were finished since the last look."""
        for table in sorted(self._folder.glob("scenes-*.npz")):
            if table.name in self._known:
                continue
            self._known.add(table.name)
            with np.load(table) as file:
                starts, owners, boxes = file["starts"], file["owners"], file["boxes"]
            data = table.with_suffix(".bin")
            for index in range(len(starts) - 1):
                item = (data, int(starts[index]), int(starts[index + 1]), boxes[owners == index])
                self._items.append(item)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """``uint8[S, S, 3]`` RGB and ``float32[N, 4]`` boxes in pixels."""
        path, start, end, boxes = self._items[index]
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), boxes
