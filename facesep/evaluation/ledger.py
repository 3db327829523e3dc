"""Results of units of work, kept as they come: a stopped measurement goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facesep.errors import ConfigError


class Ledger:
    """One JSON line for each unit that is done.

    Every process appends to a file of its own, ``<name>.<rank>.jsonl``; all files are read together.
    ``<name>.json`` holds the settings that the results belong to.

    Args:
        folder: where the files are, created if need be; None keeps results in memory alone.
        name: of the measurement.
        settings: JSON data; results of other settings are refused.
        rank: number of this process.

    Raises:
        ConfigError: if the folder holds results of other settings or cannot be written.
    """

    def __init__(
        self, folder: str | Path | None, name: str, settings: Mapping[str, Any], rank: int = 0
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.name = name
        self.rank = rank
        self._memory: dict[str, Any] = {}
        if self.folder is None:
            return
        wanted = json.dumps(settings, sort_keys=True, indent=1)
        path = self.folder / f"{name}.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                temporary = path.with_name(f"{path.name}.{rank}.part")
                temporary.write_text(wanted)
                os.replace(temporary, path)
            if path.read_text() != wanted:
                raise ConfigError(
                    f"{path} belongs to other settings, weights or photos: choose another folder or delete it"
                )
        except OSError as error:
            raise ConfigError(f"cannot keep results in {folder}: {error}") from error

    def add(self, key: str, record: Any) -> None:
        """Keeps the record of a unit; it is on the disk when this returns."""
        if self.folder is None:
            self._memory[key] = record
            return
        with open(self.folder / f"{self.name}.{self.rank}.jsonl", "a+b") as file:
            if file.tell():  # a line that was cut short must not swallow this one
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps([key, record], allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def done(self) -> dict[str, Any]:
        """Records of all processes by key."""
        if self.folder is None:
            return dict(self._memory)
        return read_records(self.folder, self.name)


def read_records(folder: str | Path, name: str) -> dict[str, Any]:
    """Records that a :class:`Ledger` of that name has kept in a folder, by key."""
    found: dict[str, Any] = {}
    for path in sorted(Path(folder).glob(f"{name}.*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                key, record = json.loads(line)
            except ValueError:  # cut short when the process was stopped
                continue
            found[key] = record
    return found
