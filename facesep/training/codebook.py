"""The code book: one row of codes per training image, with its Adam moments, in memory-mapped files."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from facesep.codes import CODE_LENGTH, Codes
from facesep.errors import CheckpointError, ConfigError, DataError

BETAS = (0.9, 0.999)
EPSILON = 1e-8
CHUNK = 8192
"""Rows that are copied at a time, so that memory stays constant."""
KINDS = {
    "codes": torch.float32,
    "first": torch.bfloat16,  # moves by a tenth each step, so eight bits follow it
    "second": torch.float32,
    "start": torch.float16,
    "steps": torch.int32,
}
NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int32: "I32"}


def _reserve(path: Path, size: int) -> None:
    """Takes the room for a file now: a disk that is full later would kill whoever writes to mapped memory."""
    try:
        with open(path, "wb") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        path.unlink(missing_ok=True)
        problem = f"the code book's {size / 1e9:.2g} GB at {path} cannot be written ({error.strerror})"
        raise DataError(f"{problem}: free some room, or train into another folder") from error


class CodeBook:
    """Codes that phase D moves and phase E reads (the z of eq. 2), with one Adam state per row.

    Photos belong to processes in turn (photo number modulo the number of processes); a process holds and
    moves the rows of its own photos alone, so codes never travel. Only the rows of a batch are touched, so
    memory stays constant for any number of images. A row takes 8.5 kB on disk: codes in float32, the first
    moment in bfloat16, the second in float32, the codes at the beginning of the phase (z^0 of L_reg) in
    float16.

    Args:
        folder: where the working files lie; each process has its own.
        photos: number of photos in the training set.
        per_photo: rows of a photo: 2 with its mirror image, else 1.
        rank: number of this process.
        world: number of processes.

    Raises:
        ConfigError: for more processes than photos.
        DataError: if the disk has no room for it.
    """

    def __init__(
        self, folder: str | Path, photos: int, per_photo: int = 2, rank: int = 0, world: int = 1
    ) -> None:
        if photos < world:
            raise ConfigError(f"{photos} photos cannot be shared by {world} processes: start fewer")
        self.photos, self.per_photo, self.rank, self.world = photos, per_photo, rank, world
        own = (photos - rank + world - 1) // world * per_photo
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._arrays: dict[str, Tensor] = {}
        for name, kind in KINDS.items():
            shape = (own,) if name == "steps" else (own, CODE_LENGTH)
            size = own * (1 if name == "steps" else CODE_LENGTH)
            path = Path(folder) / f"{name}-{rank:05d}.bin"
            path.unlink(missing_ok=True)  # zeros to begin with
            _reserve(path, size * kind.itemsize)
            self._arrays[name] = torch.from_file(str(path), shared=True, size=size, dtype=kind).view(shape)

    def __len__(self) -> int:
        return len(self._arrays["codes"])

    def rows(self) -> Tensor:
        """Numbers of this process's rows in the whole training set, ``int64``, ascending."""
        photos = torch.arange(self.rank, self.photos, self.world)
        return (photos[:, None] * self.per_photo + torch.arange(self.per_photo)).flatten()

    def _local(self, rows: Tensor) -> Tensor:
        photo = rows // self.per_photo
        if bool((photo % self.world != self.rank).any()):
            raise IndexError("rows of another process")
        return photo // self.world * self.per_photo + rows % self.per_photo

    def read(self, rows: Tensor) -> Codes:
        """The codes of some rows, ``[B, ...]``, as new tensors."""
        return Codes.from_vector(self._arrays["codes"][self._local(rows)])

    def start(self, rows: Tensor) -> Codes:
        """The codes z^0 that some rows had at ``mark``."""
        return Codes.from_vector(self._arrays["start"][self._local(rows)].float())

    def mark(self) -> None:
        """Remembers the present codes as z^0."""
        for part in torch.arange(len(self)).split(CHUNK):
            self._arrays["start"][part] = self._arrays["codes"][part].half()

    def write(self, rows: Tensor, codes: Codes) -> None:
        """Sets codes and forgets the rows' moments."""
        index = self._local(rows)
        self._arrays["codes"][index] = codes.vector().detach().float().cpu()
        for name in ("first", "second", "steps"):
            self._arrays[name][index] = 0

    def update(self, rows: Tensor, gradient: Tensor, learning_rate: float) -> None:
        """One Adam step (Kingma and Ba, 2015) on some rows, each with its own step count.

        Args:
            rows: ``int64 [B]``, without repeats.
            gradient: ``Tensor[B, 705]``.
            learning_rate: step size.
        """
        index, gradient = self._local(rows), gradient.detach().float().cpu()
        arrays = self._arrays
        arrays["steps"][index] += 1
        steps = arrays["steps"][index].double()[:, None]
        first = arrays["first"][index].float().lerp(gradient, 1 - BETAS[0])
        second = arrays["second"][index].lerp(gradient.square(), 1 - BETAS[1])
        arrays["first"][index], arrays["second"][index] = first.bfloat16(), second
        scale = (second / (1 - BETAS[1] ** steps).float()).sqrt() + EPSILON
        arrays["codes"][index] -= learning_rate * first / (1 - BETAS[0] ** steps).float() / scale

    def save(self, folder: Path) -> Path:
        """Writes this process's rows to ``codebook-<rank>-of-<world>.safetensors``, in constant memory."""
        path = folder / f"codebook-{self.rank:05d}-of-{self.world:05d}.safetensors"
        header: dict[str, dict] = {"__metadata__": {"photos": str(self.photos), "rows": str(self.per_photo)}}
        offset = 0
        for name, array in self._arrays.items():
            end = offset + array.numel() * array.element_size()
            header[name] = {
                "dtype": NAMES[array.dtype],
                "shape": list(array.shape),
                "data_offsets": [offset, end],
            }
            offset = end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for array in self._arrays.values():
                for part in array.split(CHUNK):
                    file.write(part.contiguous().view(torch.uint8).numpy().data)
        return path

    def load(self, files: Sequence[Path]) -> None:
        """Takes this process's rows from what any number of processes have saved.

        Raises:
            CheckpointError: if files are missing or belong to other data.
        """
        parts = sorted(files)
        count = int(parts[0].stem.rsplit("-", 1)[1]) if parts else 0
        wanted = [f"codebook-{i:05d}-of-{count:05d}.safetensors" for i in range(count)]
        if not parts or [path.name for path in parts] != wanted:
            raise CheckpointError(f"the code book is not complete: found {[p.name for p in parts]}")
        photos = torch.arange(self.rank, self.photos, self.world)
        for part, path in enumerate(parts):
            with safe_open(str(path), framework="pt") as file:
                known = file.metadata() or {}
                if known != {"photos": str(self.photos), "rows": str(self.per_photo)}:
                    raise CheckpointError(
                        f"{path.name} was made for {known.get('photos')} photos of {known.get('rows')} rows, "
                        f"the data has {self.photos} of {self.per_photo}: use the same shards"
                    )
                slices = {name: file.get_slice(name) for name in KINDS}
                here = torch.nonzero(photos % count == part)[:, 0]
                if len(here):  # the same number of processes again: a part that holds nothing for this one
                    for chunk in here.split(CHUNK // self.per_photo):
                        self._take(slices, chunk, photos[chunk] // count)

    def _take(self, slices: dict, here: Tensor, there: Tensor) -> None:
        """Copies photos ``there`` of a saved part to photos ``here`` of this process; both ascend."""
        each = torch.arange(self.per_photo)
        target = (here[:, None] * self.per_photo + each).flatten()
        first, last = int(there[0]), int(there[-1])
        source = ((there - first)[:, None] * self.per_photo + each).flatten()
        for name, stored in slices.items():
            block = stored[first * self.per_photo : (last + 1) * self.per_photo]
            self._arrays[name][target] = block[source]
