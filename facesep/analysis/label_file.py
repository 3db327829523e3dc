"""The label file of a data set, read where it is needed: memory does not grow with the number of photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facesep.codes import CODE_LENGTH, Codes
from facesep.errors import DataError

HAIR_COLOURS = 4
"""The last numbers of a texture label are the colour of the hair; those before them are the skin."""
KINDS = {"I64": np.int64, "F32": np.float32, "F16": np.float16}


class LabelFile:
    """Labels of photos and their mirror images, as ``train/analyse.py`` writes them.

    The arrays are mapped, not read: only the rows that are asked for come into memory.

    Args:
        path: the safetensors file with ``ids [M]``, ``codes [M, 2, 705]`` and ``depth [M, m, m]``.
        ids: stable ids of the photos in the order in which rows are asked for.
        mirror: whether rows are photos and mirror images in turn, or photos alone.

    Raises:
        DataError: if the file is missing or damaged, or has no labels for a photo.
    """

    def __init__(self, path: str | Path, ids: np.ndarray, mirror: bool = True) -> None:
        arrays = map_tensors(path)
        missing = {"ids", "codes", "depth"} - set(arrays)
        if missing or arrays["codes"].shape[1:] != (2, CODE_LENGTH):
            raise DataError(f"{path} holds no labels of this version: run train/analyse.py again")
        self.mirror = mirror
        self._codes, self._depth = arrays["codes"], arrays["depth"]
        known = np.array(arrays["ids"])
        order = np.argsort(known)
        place = np.searchsorted(known, ids, sorter=order).clip(max=len(known) - 1)
        self._rows = order[place]
        missing = int((known[self._rows] != ids).sum()) if len(known) else len(ids)
        if missing:
            raise DataError(f"{path} has no labels for {missing} photos: run train/analyse.py again")

    def codes(self, rows: Tensor) -> Codes:
        """Labels as codes of some rows, ``[B, ...]``."""
        index, flip = split_rows(rows, self.mirror)
        return Codes.from_vector(torch.from_numpy(self._codes[self._rows[index], flip.astype(np.int64)]))

    def depth(self, photos: np.ndarray) -> Tensor:
        """Depth maps ``[B, m, m]`` of some photos, by their position among the ids."""
        return torch.from_numpy(self._depth[self._rows[photos]])


def split_rows(rows: Tensor, mirror: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the code book as ``(photo, is it the mirror image)``."""
    rows = rows.numpy()
    return (rows // 2, rows % 2 == 1) if mirror else (rows, np.zeros(len(rows), bool))


def map_tensors(path: str | Path) -> dict[str, np.memmap]:
    """Tensors of a safetensors file as read-only memory maps.

    The layout: eight bytes with the length of a JSON header, the header, then the tensors' bytes.

    Raises:
        DataError: if the file is missing, cut off or something else.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = file.seek(0, 2)
            if not 0 < length <= size - 8:
                raise ValueError("no header")
            file.seek(8)
            header = json.loads(file.read(length))
        arrays = {}
        for name, one in header.items():
            if name == "__metadata__" or one["dtype"] not in KINDS:
                continue
            kind, (start, end) = np.dtype(KINDS[one["dtype"]]), one["data_offsets"]
            shape, start = tuple(one["shape"]), start + 8 + length
            if end + 8 + length > size or int(np.prod(shape)) * kind.itemsize != end + 8 + length - start:
                raise ValueError(f"{name} is cut off")
            arrays[name] = np.memmap(path, kind, "r", start, shape) if end + 8 + length > start else None
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}: run train/analyse.py") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}): run train/analyse.py again") from error
    return {name: array for name, array in arrays.items() if array is not None}
