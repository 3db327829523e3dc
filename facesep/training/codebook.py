"""The code book: one row of codes per training image, with its Adam moments, in memory-mapped files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facesep.codes import CODE_LENGTH, Codes
from facesep.errors import CheckpointError

BETAS = (0.9, 0.999)
EPSILON = 1e-8
ARRAYS = ("codes", "first", "second", "steps")


class CodeBook:
    """Codes that phase D moves and phase E reads (the z of eq. 2), with one Adam state per row.

    Only the rows of a batch are read and written, so memory stays constant for any number of images.
    Rows are ``float32 [705]``; the moments take twice as much again.

    Args:
        folder: where ``codes.bin``, ``first.bin``, ``second.bin`` and ``steps.bin`` lie.
        rows: number of rows when a new book is made; None opens an existing one.

    Raises:
        CheckpointError: if the book is missing, incomplete or of another length.
    """

    def __init__(self, folder: str | Path, rows: int | None = None) -> None:
        self.folder = Path(folder)
        header = self.folder / "codebook.json"
        if rows is None:
            try:
                rows = int(json.loads(header.read_text())["rows"])
            except (OSError, ValueError, KeyError) as error:
                raise CheckpointError(f"{self.folder} holds no code book: {error}") from error
            mode = "r+"
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            header.write_text(json.dumps({"format": 1, "rows": rows, "length": CODE_LENGTH}))
            mode = "w+"
        self._arrays: dict[str, np.memmap] = {}
        for name in ARRAYS:
            shape = (rows,) if name == "steps" else (rows, CODE_LENGTH)
            path = self.folder / f"{name}.bin"
            if mode == "r+" and (not path.is_file() or path.stat().st_size != 4 * int(np.prod(shape))):
                raise CheckpointError(f"{path} is missing or incomplete: resume from another checkpoint")
            kind = np.int32 if name == "steps" else np.float32
            self._arrays[name] = np.memmap(path, kind, mode, shape=shape)

    def __len__(self) -> int:
        return len(self._arrays["codes"])

    def read(self, rows: Tensor) -> Codes:
        """The codes of some rows, ``[B, ...]``, as new tensors."""
        return Codes.from_vector(torch.from_numpy(self._arrays["codes"][rows.numpy()]))

    def write(self, rows: Tensor, codes: Codes) -> None:
        """Sets codes and forgets the rows' moments."""
        index = rows.numpy()
        self._arrays["codes"][index] = codes.vector().detach().cpu().numpy()
        for name in ARRAYS[1:]:
            self._arrays[name][index] = 0

    def forget_moments(self) -> None:
        """Clears all Adam moments, at the start of a phase."""
        for name in ARRAYS[1:]:
            self._arrays[name][:] = 0

    def update(self, rows: Tensor, gradient: Tensor, learning_rate: float) -> None:
        """One Adam step (Kingma and Ba, 2015) on some rows, each with its own step count.

        Args:
            rows: ``int64 [B]``, without repeats.
            gradient: ``Tensor[B, 705]``.
            learning_rate: step size.
        """
        index, grad = rows.numpy(), gradient.detach().float().cpu().numpy()
        steps = self._arrays["steps"][index] + 1
        first = BETAS[0] * self._arrays["first"][index] + (1 - BETAS[0]) * grad
        second = BETAS[1] * self._arrays["second"][index] + (1 - BETAS[1]) * grad * grad
        for name, value in zip(ARRAYS[1:], (first, second, steps), strict=True):
            self._arrays[name][index] = value
        steps = steps[:, None].astype(np.float32)
        corrected = first / (1 - BETAS[0] ** steps)
        scale = np.sqrt(second / (1 - BETAS[1] ** steps)) + EPSILON
        self._arrays["codes"][index] -= (learning_rate * corrected / scale).astype(np.float32)

    def flush(self) -> None:
        """Writes everything to disk."""
        for array in self._arrays.values():
            array.flush()

    def copy_to(self, folder: str | Path) -> None:
        """Copies the book to another folder."""
        copy = CodeBook(folder, len(self))
        for name, array in self._arrays.items():
            copy._arrays[name][:] = array
        copy.flush()
