"""Training state on disk: safetensors and JSON only, replaced as a whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from facesep.errors import CheckpointError


def optimiser_tensors(optimisers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All state tensors of named optimisers as ``{"name/index/key": tensor}``."""
    return {
        f"{name}/{index}/{key}": torch.as_tensor(value)
        for name, optimiser in optimisers.items()
        for index, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
        if value is not None
    }


def restore_optimisers(
    optimisers: Mapping[str, torch.optim.Optimizer], tensors: Mapping[str, Tensor]
) -> None:
    """Puts back what :func:`optimiser_tensors` took."""
    states: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in optimisers}
    for path, tensor in tensors.items():
        name, index, key = path.rsplit("/", 2)
        if name not in states:
            raise CheckpointError(f"the training state has an optimiser {name!r} that this run does not know")
        states[name].setdefault(int(index), {})[key] = tensor
    for name, optimiser in optimisers.items():
        optimiser.load_state_dict({**optimiser.state_dict(), "state": states[name]})


def save_state(
    folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], progress: Mapping[str, Any]
) -> None:
    """Writes named groups of tensors and a progress record; the folder appears whole or not at all.

    Args:
        folder: the checkpoint folder; replaced if it exists.
        tensors: ``{group: {key: tensor}}``, one file per group.
        progress: JSON values.
    """
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for group, values in tensors.items():
        copies = {key: value.detach().cpu().contiguous().clone() for key, value in values.items()}
        save_file(copies, str(temporary / f"{group}.safetensors"))
    (temporary / "progress.json").write_text(json.dumps(progress, indent=1))
    for path in temporary.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Reads what :func:`save_state` wrote.

    Raises:
        CheckpointError: if there is none or it is damaged.
    """
    if not folder.is_dir() and folder.with_name(folder.name + ".old").is_dir():
        folder = folder.with_name(folder.name + ".old")  # stopped between the two renames
    try:
        progress = json.loads((folder / "progress.json").read_text())
        return {p.stem: load_file(str(p)) for p in folder.glob("*.safetensors")}, progress
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} holds no complete training state: {error}") from error
