"""Label files: for each photo of a shard set its seven codes, mirrored too, and a depth map."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from facesep.codes import CODE_LENGTH
from facesep.errors import DataError

FORMAT = "facesep-labels-1"
DEPTH_SIZE = 64


@dataclass(frozen=True)
class Labels:
    """What the analysis found.

    Attributes:
        ids: ``int64 Tensor[N]`` stable ids.
        codes: ``Tensor[N, 2, 705]`` in the order of ``facesep.codes.ATTRIBUTES``; the second of each
            pair belongs to the mirror image.
        depth: ``float16 Tensor[N, 64, 64]`` dm in front of the camera at pixel centres, NaN off the head;
            flip it for the mirror image.
        rms: ``Tensor[N]`` distance of the inner landmarks from the fitted ones, pixels at 256.
        decode: means, deviations and bases that undo the standardisation of the codes.
        names: names of the expression shapes, in the order of their places in the code.
    """

    ids: Tensor
    codes: Tensor
    depth: Tensor
    rms: Tensor
    decode: dict[str, Tensor]
    names: tuple[str, ...]

    def save(self, path: str | Path) -> None:
        """Writes one ``.safetensors`` file; it appears when it is complete."""
        tensors = {"ids": self.ids, "codes": self.codes, "depth": self.depth, "rms": self.rms, **self.decode}
        tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        metadata = {"format": FORMAT, "expression_names": json.dumps(self.names)}
        temporary = Path(f"{path}.tmp")
        save_file(tensors, str(temporary), metadata=metadata)
        os.replace(temporary, path)

    @staticmethod
    def load(path: str | Path) -> Labels:
        """Reads and checks a label file.

        Raises:
            DataError: if it is missing, damaged or of another format.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise DataError(f"{path} is not a label file of format {FORMAT}: run train/analyse.py")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            names = tuple(json.loads(metadata["expression_names"]))
            ids, codes, depth, rms = (tensors.pop(key) for key in ("ids", "codes", "depth", "rms"))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise DataError(f"cannot read labels from {path}: {error}") from error
        if codes.shape != (len(ids), 2, CODE_LENGTH) or not torch.isfinite(codes).all():
            raise DataError(f"the codes in {path} are damaged: run train/analyse.py again")
        return Labels(ids, codes, depth, rms, tensors, names)
