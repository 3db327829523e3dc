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
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from facesep.errors import DataError

FORMAT = "facesep-shards-1"
MEMBERS = ("jpg", "mask.png", "json")
"""Extensions of a sample's members, in the order of the columns of the index."""
SPLITS = ("train", "val", "test")


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
    temporary = path.with_name(path.name + ".tmp")
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for members in samples:
            for name, data in members.items():
                info = tarfile.TarInfo(name)  # no time, no user: the same input gives the same bytes
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_index(folder: Path, shards: list[Path], size: int) -> int:
    """Scans finished shards and writes ``index.safetensors`` and ``index.json``.

    Args:
        folder: the folder of the shards.
        shards: the shard files, in order.
        size: side of the images in pixels.

    Returns:
        The number of samples.

    Raises:
        DataError: if a shard is damaged or an id occurs twice.
    """
    ids, number, offsets, sizes, splits, listed = [], [], [], [], [], []
    for index, path in enumerate(shards):
        before = len(ids)
        for id_, members, split in _scan(path):
            ids.append(id_)
            number.append(index)
            offsets.append([members[ext][0] for ext in MEMBERS])
            sizes.append([members[ext][1] for ext in MEMBERS])
            splits.append(split)
        entry = {"file": path.name, "samples": len(ids) - before, "bytes": path.stat().st_size}
        listed.append({**entry, "sha256": file_sha256(path)})
    if len(set(ids)) != len(ids):
        raise DataError(f"{folder} holds an id twice: the source lists a photo more than once")
    tensors = {
        "id": np.array(ids, np.int64),
        "shard": np.array(number, np.int32),
        "offset": np.array(offsets, np.int64).reshape(-1, len(MEMBERS)),
        "size": np.array(sizes, np.int64).reshape(-1, len(MEMBERS)),
        "split": np.array(splits, np.uint8),
    }
    save_file(tensors, str(folder / "index.safetensors.tmp"), metadata={"format": FORMAT})
    os.replace(folder / "index.safetensors.tmp", folder / "index.safetensors")
    header = {"format": FORMAT, "size": size, "samples": len(ids), "splits": SPLITS, "shards": listed}
    (folder / "index.json.tmp").write_text(json.dumps(header, indent=1))
    os.replace(folder / "index.json.tmp", folder / "index.json")
    return len(ids)


def _scan(path: Path) -> Iterator[tuple[int, dict[str, tuple[int, int]], int]]:
    """Yields ``(id, {extension: (offset, size)}, split)`` of each sample of a shard."""
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
                yield int(key, 16), members, SPLITS.index(meta["split"])
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged ({error}): delete it and prepare the data again") from error


class ShardSet:
    """A map-style data set over a folder of shards.

    Samples are read with ``os.pread``, so threads and worker processes can share one set.

    Args:
        path: the folder with ``index.json``.
        split: keep only samples of this split; ``None`` keeps all.

    Raises:
        DataError: if the folder holds no shards, or a shard is missing or has another size.
    """

    def __init__(self, path: str | Path, split: str | None = None) -> None:
        self.path = Path(path)
        try:
            header = json.loads((self.path / "index.json").read_text())
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
        self.ids: np.ndarray = index["id"][keep]
        """Stable ids, ``int64 [N]``."""
        self.splits: np.ndarray = index["split"][keep]
        """Index into :data:`SPLITS` of each sample, ``uint8 [N]``."""
        self._where = index["shard"][keep], index["offset"][keep], index["size"][keep]
        self._row = {int(id_): row for row, id_ in enumerate(self.ids)}
        self._open: dict[int, int] = {}

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
        try:
            return self._row[int(id_)]
        except KeyError:
            raise DataError(f"{self.path} holds no sample {int(id_):016x}") from None

    def sample(self, index: int) -> Sample:
        """Reads and decodes one sample.

        Raises:
            DataError: if the shard is damaged there.
        """
        try:
            image = np.asarray(Image.open(io.BytesIO(self.member(index, "jpg"))).convert("RGB"))
            label = np.asarray(Image.open(io.BytesIO(self.member(index, "mask.png"))).convert("L"))
            meta = self.meta(index)
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
        data = os.pread(self._descriptor(shard), size, offset)
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

    def _descriptor(self, shard: int) -> int:
        if shard not in self._open:
            self._open[shard] = os.open(self.path / self.shards[shard]["file"], os.O_RDONLY)
        return self._open[shard]

    def _place(self, index: int) -> str:
        return f"sample {self.ids[index]:016x} in {self.path / self.shards[self._where[0][index]]['file']}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}  # file descriptors do not travel to other processes

    def __del__(self) -> None:
        if "_open" in self.__dict__:
            self.close()
