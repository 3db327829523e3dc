"""Plain tar shards in the WebDataset layout, with an index for random access.

A folder of shards holds ``00000.tar``, ``00001.tar``, ... and two index files. Each sample is three
members of one tar file, ``<id>.jpg``, ``<id>.mask.png`` and ``<id>.json``. ``index.json`` lists the
shards with their sizes and SHA-256 sums, ``index.safetensors`` where each member lies.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from facesep.errors import DataError

FORMAT = "facesep-shards-1"
MEMBERS = ("jpg", "mask.png", "json")
"""Extensions of a sample's members, in the order of the columns of the index."""
SPLITS = ("train", "val", "test")
FACTS = {"split": np.uint8, "person": np.int64, "sharp": np.bool_, "points5": np.float32}
"""Columns of the index that repeat parts of the records."""
MAX_OPEN = 256
"""Shard files that stay open; those of larger sets are opened for each read."""


def stable_id(name: str) -> int:
    """A 63-bit id that depends on nothing but the name of the photo in its source.

    Code books and label files refer to photos by it, so it must not depend on order or on the machine.
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Sample:
    """One photo of a data set.

    Attributes:
        id: the stable id.
        image: ``uint8 [H, W, 3]`` RGB.
        label: ``uint8 [H, W]``: 0 background, 1 face (skin, ears, eyes, glasses), 2 hair, 3 neck and body.
        meta: what is known about the photo.
    """

    id: int
    image: np.ndarray
    label: np.ndarray
    meta: dict[str, Any]


def encode_sample(id_: int, image: Image.Image, label: Image.Image, meta: dict[str, Any]) -> dict[str, bytes]:
    """The three members of a sample as ``{member name: bytes}``."""
    jpg, png = io.BytesIO(), io.BytesIO()
    image.save(jpg, "JPEG", quality=95, subsampling=0)
    label.save(png, "PNG", optimize=True)
    text = json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode()
    contents = (jpg.getvalue(), png.getvalue(), text)
    return {f"{id_:016x}.{ext}": data for ext, data in zip(MEMBERS, contents, strict=True)}


def write_shard(path: Path, samples: Iterable[dict[str, bytes]]) -> None:
    """Writes members to a tar file that appears under its name only when it is complete."""
    temporary = _temporary(path)
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for members in samples:
            for name, data in members.items():
                info = tarfile.TarInfo(name)  # no time, no user: the same input gives the same bytes
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    _finish(temporary, path)


def write_file(path: Path, data: bytes) -> None:
    """Writes a file that appears under its name only when it is complete and on the disk."""
    temporary = _temporary(path)
    temporary.write_bytes(data)
    _finish(temporary, path)


def _temporary(path: Path) -> Path:
    """A name of this process's own, in case a writer of a killed run, here or elsewhere, is still dying."""
    return path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}.tmp")


def _finish(temporary: Path, path: Path) -> None:
    with open(temporary, "r+b") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if not hasattr(os, "O_DIRECTORY"):  # on Windows folders cannot be opened
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name, too, outlives a power cut
    finally:
        os.close(folder)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_index(folder: Path, shards: list[Path], size: int, sums: Sequence[str] | None = None) -> int:
    """Scans finished shards and writes ``index.safetensors`` and ``index.json``.

    Args:
        folder: the folder of the shards.
        shards: the shard files, in order.
        size: side of the images in pixels.
        sums: the shards' SHA-256 sums; None reads the files for them.

    Returns:
        The number of samples.

    Raises:
        DataError: if a shard is damaged or an id occurs twice.
    """
    ids, number, offsets, sizes, listed = [], [], [], [], []
    facts: dict[str, list[Any]] = {name: [] for name in FACTS}
    for index, path in enumerate(shards):
        before = len(ids)
        for id_, members, meta in _scan(path):
            ids.append(id_)
            number.append(index)
            offsets.append([members[ext][0] for ext in MEMBERS])
            sizes.append([members[ext][1] for ext in MEMBERS])
            for name, value in _facts(meta).items():
                facts[name].append(value)
        entry = {"file": path.name, "samples": len(ids) - before, "bytes": path.stat().st_size}
        listed.append({**entry, "sha256": sums[index] if sums else file_sha256(path)})
    if len(set(ids)) != len(ids):
        raise DataError(f"{folder} holds an id twice: the source lists a photo more than once")
    tensors = {
        "id": np.array(ids, np.int64),
        "shard": np.array(number, np.int32),
        "offset": np.array(offsets, np.int64).reshape(-1, len(MEMBERS)),
        "size": np.array(sizes, np.int64).reshape(-1, len(MEMBERS)),
        **{name: np.array(values, FACTS[name]) for name, values in facts.items()},
    }
    write_file(folder / "index.safetensors", to_bytes(tensors, metadata={"format": FORMAT}))
    header = {"format": FORMAT, "size": size, "samples": len(ids), "splits": SPLITS, "shards": listed}
    write_file(folder / "index.json", json.dumps(header, indent=1).encode())
    return len(ids)


def _facts(meta: dict[str, Any]) -> dict[str, Any]:
    """What the index repeats of a record, so that training need not read every record first."""
    points = np.asarray(meta.get("points5") or np.full((5, 2), np.nan), np.float32)
    return {
        "split": SPLITS.index(meta["split"]),
        "person": stable_id(meta.get("person") or meta.get("name", "")),
        "sharp": bool(meta.get("good_at_256", True)),
        "points5": points.reshape(5, 2),
    }


def _scan(path: Path) -> Iterator[tuple[int, dict[str, tuple[int, int]], dict[str, Any]]]:
    """Yields ``(id, {extension: (offset, size)}, record)`` of each sample of a shard."""
    groups: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(path, "r:") as tar, open(path, "rb") as file:
            for info in tar:
                key, _, ext = info.name.partition(".")
                groups.setdefault(key, {})[ext] = (info.offset_data, info.size)
            for key, members in groups.items():
                if set(members) != set(MEMBERS):
                    raise DataError(f"{path}: sample {key} has members {sorted(members)}, not {MEMBERS}")
                file.seek(members["json"][0])
                meta = json.loads(file.read(members["json"][1]))
                if meta["split"] not in SPLITS:
                    raise ValueError(f"unknown split {meta['split']!r}")
                yield int(key, 16), members, meta
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged ({error}): delete it and prepare the data again") from error


class ShardSet:
    """A map-style data set over a folder of shards.

    Samples are read at their offsets, so threads and worker processes can share one set.

    Args:
        path: the folder with ``index.json``.
        split: keep only samples of this split; ``None`` keeps all.
        most: keep at most so many, evenly spread over the rest.

    Raises:
        DataError: if the folder holds no shards, or a shard is missing or has another size.
    """

    def __init__(self, path: str | Path, split: str | None = None, most: int | None = None) -> None:
        self.path = Path(path)
        try:
            header = json.loads((self.path / "index.json").read_text(encoding="utf-8"))
            index = load_file(self.path / "index.safetensors")
        except FileNotFoundError as error:
            raise DataError(f"{path} holds no prepared shards: run train/prepare_data.py") from error
        except (OSError, ValueError, SafetensorError) as error:
            raise DataError(f"the index in {path} is damaged ({error}): prepare the data again") from error
        if header.get("format") != FORMAT:
            raise DataError(f"{path} has shards of format {header.get('format')!r}, expected {FORMAT!r}")
        if split is not None and split not in SPLITS:
            raise DataError(f"unknown split {split!r}: choose from {', '.join(SPLITS)}")
        self.size: int = header["size"]
        self.shards: list[dict[str, Any]] = header["shards"]
        for shard in self.shards:
            file = self.path / shard["file"]
            if not file.is_file() or file.stat().st_size != shard["bytes"]:
                raise DataError(f"{file} is missing or incomplete: prepare the data again")
        keep = np.arange(len(index["id"]))
        if split is not None:
            keep = keep[index["split"] == SPLITS.index(split)]
        if most is not None and most < len(keep):
            keep = keep[np.arange(most) * len(keep) // most]
        self.ids: np.ndarray = index["id"][keep]
        """Stable ids, ``int64 [N]``."""
        self.splits: np.ndarray = index["split"][keep]
        """Index into ``SPLITS`` of each sample, ``uint8 [N]``."""
        self._where = index["shard"][keep], index["offset"][keep], index["size"][keep]
        self._open: dict[int, int] = {}
        self._opening = threading.Lock()
        facts = {name: index[name][keep] for name in FACTS if name in index}
        if len(facts) < len(FACTS):  # an index of an earlier version
            found = [_facts(self.meta(row)) for row in range(len(keep))]
            facts = {name: np.array([one[name] for one in found], FACTS[name]) for name in FACTS}
        self.people: np.ndarray = facts["person"]
        """Stable id of each sample's person, ``int64 [N]``; samples without a person have their own."""
        self.sharp: np.ndarray = facts["sharp"]
        """Whether the photo is sharp enough for 256 px, ``bool [N]``."""
        self.points5: np.ndarray = facts["points5"]
        """Five points in pixels of the image, ``float32 [N, 5, 2]``; NaN where they are not known."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return self.sample(index)

    def __iter__(self) -> Iterator[Sample]:
        return (self.sample(i) for i in range(len(self)))

    def row(self, id_: int) -> int:
        """Position of a stable id.

        Raises:
            DataError: if this set does not hold it.
        """
        order, ordered = self._order
        place = int(np.searchsorted(ordered, int(id_)))
        if place == len(ordered) or ordered[place] != int(id_):
            raise DataError(f"{self.path} holds no sample {int(id_):016x}")
        return int(order[place])

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.ids)
        return order, self.ids[order]

    def sample(self, index: int, record: bool = True) -> Sample:
        """Reads and decodes one sample.

        Args:
            index: its position.
            record: whether to read its record, too; else ``meta`` stays empty.

        Raises:
            DataError: if the shard is damaged there.
        """
        try:
            image = np.asarray(Image.open(io.BytesIO(self.member(index, "jpg"))).convert("RGB"))
            label = np.asarray(Image.open(io.BytesIO(self.member(index, "mask.png"))).convert("L"))
            meta = self.meta(index) if record else {}
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{self._place(index)} is damaged ({error}): prepare it again") from error
        return Sample(int(self.ids[index]), image, label, meta)

    def meta(self, index: int) -> dict[str, Any]:
        """What is known about a sample, without decoding its image."""
        return json.loads(self.member(index, "json"))

    def member(self, index: int, extension: str) -> bytes:
        """The bytes of one member: ``jpg``, ``mask.png`` or ``json``."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        column = MEMBERS.index(extension)
        shard, offset, size = (int(w[index, column] if w.ndim > 1 else w[index]) for w in self._where)
        data = self._read(shard, size, offset)
        if len(data) != size:
            raise DataError(f"{self._place(index)} is cut off: prepare it again")
        return data

    def verify(self) -> None:
        """Compares every shard with its SHA-256 sum.

        Raises:
            DataError: names the first shard that was changed.
        """
        for shard in self.shards:
            if file_sha256(self.path / shard["file"]) != shard["sha256"]:
                raise DataError(f"{self.path / shard['file']} is damaged: delete it and prepare it again")

    def close(self) -> None:
        """Closes the shard files; they open again when needed."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _read(self, shard: int, size: int, offset: int) -> bytes:
        descriptor = self._open.get(shard)
        if descriptor is None:
            descriptor = os.open(
                self.path / self.shards[shard]["file"], os.O_RDONLY | getattr(os, "O_BINARY", 0)
            )
            with self._opening:
                keep = shard not in self._open and len(self._open) < MAX_OPEN
                if keep:
                    self._open[shard] = descriptor
            if not keep:
                try:
                    return self._read_at(descriptor, size, offset)
                finally:
                    os.close(descriptor)
        return self._read_at(descriptor, size, offset)

    def _read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(descriptor, size, offset)
        with self._opening:  # on Windows threads share a file's position
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, size)

    def _place(self, index: int) -> str:
        return f"sample {self.ids[index]:016x} in {self.path / self.shards[self._where[0][index]]['file']}"

    def __getstate__(self) -> dict[str, Any]:
        # File descriptors and locks do not travel to other processes.
        return {name: value for name, value in self.__dict__.items() if name not in ("_open", "_opening")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _open={}, _opening=threading.Lock())

    def __del__(self) -> None:
        if "_open" in self.__dict__:
            self.close()
