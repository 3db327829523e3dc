"""Checkpoints of a run: what every training needs to go on where it was stopped.

``checkpoints/<step>/state`` holds it as safetensors and JSON. A folder appears whole, with the sha256 of
every file, or not at all.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from facesep.checkpoint import read_json
from facesep.checksums import verify_files, write_checksums
from facesep.errors import CheckpointError
from facesep.training.processes import Processes

logger = logging.getLogger(__name__)

Groups = Mapping[str, Mapping[str, Tensor]]
"""Tensors by key, by the file that holds them."""
Write = Callable[[Path, Callable[[Path], None]], object]


class State(NamedTuple):
    """What a checkpoint holds for training to go on.

    Attributes:
        groups: tensors by key, by file.
        progress: JSON values.
        shares: files that each process has written for itself.
    """

    groups: dict[str, dict[str, Tensor]]
    progress: dict[str, Any]
    shares: list[Path]


class Checkpoints:
    """Writes, reads and clears away the checkpoints of a run.

    Args:
        folder: where they lie, each in a folder named by its step.
        processes: the processes of the run; the first one writes.
        keep: how many stay, the newest.
    """

    def __init__(self, folder: Path, processes: Processes, keep: int = 2) -> None:
        self.folder, self.processes, self.keep = folder, processes, max(keep, 1)

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.folder / f"{step:08d}"

    def save(
        self,
        step: int,
        groups: Groups,
        progress: Mapping[str, Any],
        share: Callable[[Path], object] | None = None,
        write: Write | None = None,
    ) -> bool:
        """Writes a checkpoint and removes the oldest beyond ``keep``; every process must call it.

        Args:
            step: names the checkpoint.
            groups: tensors, one file for each group.
            progress: JSON values.
            share: called on every process with a folder, for files of its own.
            write: called with the checkpoint's folder and a function that adds the state to a folder, for a
                checkpoint that is more than its state.

        Returns:
            Whether it was written. A full disk is no reason to lose a run: a warning says so, nothing of the
            attempt stays, and older checkpoints are untouched.
        """
        first, parts = self.processes.first, self.folder / f".{step:08d}.parts"
        stages: list[tuple[bool, Callable[[], object]]] = [(first, lambda: self._begin(parts))]
        if share is not None:
            stages.append((True, lambda: share(parts / "state")))
        stages.append((first, lambda: self._finish(self.path(step), parts, groups, progress, write)))
        problem = ""
        for mine, stage in stages:
            if mine:
                try:
                    stage()
                except (OSError, SafetensorError, CheckpointError) as error:
                    problem = str(error)
            good = self.processes.all(not problem)  # all ask equally often, whatever fails
            if not good:
                break
        if first:
            shutil.rmtree(parts, ignore_errors=True)
        if problem:
            logger.warning("no checkpoint at step %d, training goes on: %s", step, problem)
        return good

    def _begin(self, parts: Path) -> None:
        for stale in self.folder.glob(".*"):  # left by a process that was killed
            shutil.rmtree(stale, ignore_errors=True)
        (parts / "state").mkdir(parents=True)

    def _finish(
        self, folder: Path, parts: Path, groups: Groups, progress: Mapping[str, Any], write: Write | None
    ) -> None:
        state = parts / "state"
        for group, values in groups.items():
            copies = {key: value.detach().cpu().contiguous().clone() for key, value in values.items()}
            save_file(copies, str(state / f"{group}.safetensors"))
        (state / "progress.json").write_text(json.dumps(progress, indent=1), encoding="utf-8")
        write_checksums(state)
        if write is not None:
            write(folder, lambda staging: os.replace(state, staging / "state"))
        else:
            for path in state.iterdir():
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(parts, folder)
        for old in checkpoints(self.folder)[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def load(self, folder: str | Path | None = None) -> State:
        """Reads a checkpoint after checking every file.

        Args:
            folder: a checkpoint, or the ``state`` folder of one; the newest of this run by default.

        Raises:
            CheckpointError: if there is none or it is damaged.
        """
        if folder is None:
            found = checkpoints(self.folder)
            if not found:
                raise CheckpointError(
                    f"{self.folder} holds no complete training state: there is nothing to resume"
                )
            folder = found[-1]
        folder = Path(folder)
        state = folder / "state" if (folder / "state").is_dir() else folder
        if not (state / "progress.json").is_file():
            raise CheckpointError(f"{folder} holds no complete training state: give RUN/checkpoints/N")
        verify_files(state)
        progress = read_json(state, "progress.json")
        files = sorted(state.glob("*.safetensors"))
        shares = [path for path in files if path.name.startswith("codebook-")]
        try:
            groups = {path.stem: load_file(str(path)) for path in files if path not in shares}
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{folder} holds no complete training state: {error}") from error
        return State(groups, progress, shares)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    found = [path for path in folder.glob("*") if path.name.isdigit() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))
