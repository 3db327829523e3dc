"""Checkpoints of a run: ``<step>/`` is what FaceSep loads, ``<step>/state/`` what training needs besides.

Safetensors and JSON only. A folder appears whole, with the sha256 of every file, or not at all.
"""

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

from facesep.card import make_card
from facesep.checkpoint import read_json, write_checkpoint
from facesep.checksums import verify_files, write_checksums
from facesep.config import to_dict
from facesep.errors import CheckpointError
from facesep.training.codebook import CodeBook
from facesep.training.config import TrainConfig
from facesep.training.processes import Processes


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


def save_tensors(
    folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], progress: Mapping[str, Any]
) -> None:
    """Writes named groups of tensors and a record for one process; the folder appears whole or not at all.

    Args:
        folder: a new folder, or one that is replaced.
        tensors: ``{group: {key: tensor}}``, one file per group.
        progress: JSON values.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _write_state(temporary, tensors, progress)
        for path in temporary.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_state(
    folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], progress: Mapping[str, Any]
) -> None:
    for group, values in tensors.items():
        copies = {key: value.detach().cpu().contiguous().clone() for key, value in values.items()}
        save_file(copies, str(folder / f"{group}.safetensors"))
    (folder / "progress.json").write_text(json.dumps(progress, indent=1))
    write_checksums(folder)


def save_state(
    folder: Path,
    config: TrainConfig,
    weights: Mapping[str, Mapping[str, Tensor]],
    groups: Mapping[str, Mapping[str, Tensor]],
    progress: Mapping[str, Any],
    book: CodeBook,
    processes: Processes,
) -> bool:
    """Writes a checkpoint; every process must call it, and each adds its rows of the code book.

    Args:
        folder: the checkpoint, named by its step.
        config: the run.
        weights: state dicts by part, as they are to be used.
        groups: further tensors by file, for training to go on.
        progress: JSON values.
        book: this process's code book.
        processes: the others.

    Returns:
        Whether it was written. A full disk is no reason to lose a run: a message says so, nothing of the
        attempt stays, and older checkpoints are untouched.
    """
    parts = folder.parent / f".{folder.name}.parts"
    problem = ""
    if processes.first:
        for stale in folder.parent.glob(".*"):  # left by a process that was killed
            shutil.rmtree(stale, ignore_errors=True)
        try:
            parts.mkdir(parents=True)
        except OSError as error:
            problem = str(error)
    good = processes.all(not problem)  # every process asks as often as the others, whatever fails
    if good:
        try:
            book.save(parts)
        except OSError as error:
            problem = str(error)
        good = processes.all(not problem)
    if good and processes.first:
        try:
            _write(folder, config, weights, groups, progress, parts)
        except (OSError, SafetensorError, CheckpointError) as error:
            problem = str(error)
    good = processes.all(not problem)
    if processes.first:
        shutil.rmtree(parts, ignore_errors=True)
    if problem:
        print(f"warning: no checkpoint at step {folder.name}, training goes on: {problem}", flush=True)  # noqa: T201
    return good


def _write(
    folder: Path,
    config: TrainConfig,
    weights: Mapping[str, Mapping[str, Tensor]],
    groups: Mapping[str, Mapping[str, Tensor]],
    progress: Mapping[str, Any],
    parts: Path,
) -> None:
    def add(staging: Path) -> None:
        state = staging / "state"
        state.mkdir(exist_ok=True)
        for path in parts.iterdir():
            os.replace(path, state / path.name)
        _write_state(state, groups, {**progress, "model": model})

    model, run = to_dict(config.model_config()), {"run": to_dict(config)}
    write_checkpoint(folder, model, weights, {"train_config.json": run}, make_card(model, train=run), add=add)


def load_state(
    folder: Path,
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any], list[Path]]:
    """Reads what :func:`save_state` wrote, after checking every file.

    Args:
        folder: a checkpoint, or the ``state`` folder of one.

    Returns:
        ``(groups, progress, code book files)``; ``progress["model"]`` is the model's configuration.

    Raises:
        CheckpointError: if there is none or it is damaged.
    """
    state = folder / "state" if (folder / "state").is_dir() else folder
    if not (state / "progress.json").is_file():
        raise CheckpointError(f"{folder} holds no complete training state: give RUN/checkpoints/N")
    verify_files(state)
    progress = read_json(state, "progress.json")
    files = sorted(state.glob("*.safetensors"))
    books = [path for path in files if path.name.startswith("codebook-")]
    try:
        groups = {path.stem: load_file(str(path)) for path in files if path not in books}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder} holds no complete training state: {error}") from error
    return groups, progress, books


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("*") if path.name.isdigit() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def latest_checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a run.

    Raises:
        CheckpointError: if there is none.
    """
    found = checkpoints(folder)
    if not found:
        raise CheckpointError(f"{folder} holds no complete training state: there is nothing to resume")
    return found[-1]


def clean(folder: Path, limit: int) -> None:
    """Removes all but the newest ``limit`` checkpoints."""
    for path in checkpoints(folder)[: -max(limit, 1)]:
        shutil.rmtree(path, ignore_errors=True)
