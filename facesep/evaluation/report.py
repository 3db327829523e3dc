"""Numbers with all that is needed to get them again: ``eval.json`` and Markdown tables.

``eval.json`` holds ``tables``, each with a title, the command, a note and rows as the model card shows
them (``facesep.card``), and ``results`` with the plain numbers. Several commands fill one file.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facesep.card import markdown_table
from facesep.checksums import CHECKSUMS
from facesep.environment import command, commit, hardware, versions, without_folders
from facesep.errors import ConfigError
from facesep.evaluation.statistics import Row
from facesep.hub import resolve

FORMAT, SPEED_FORMAT = "facesep-eval-1", "facesep-speed-1"


def table(
    title: str,
    rows: Sequence[Row],
    note: str,
    results: Mapping[str, Any],
    *,
    device: str = "cpu",
    checkpoints: Mapping[str, str | None] | None = None,
    inputs: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One table with its origin: the command, the code's commit, versions and hardware.

    Args:
        title: heading; a table of the same title replaces an older one.
        rows: ``{column: value}`` for people to read.
        note: what the numbers mean, which choices were made.
        results: the numbers, JSON data or dataclasses; what is not finite becomes null.
        device: where it was measured.
        checkpoints: several of them by their names in the table, when it is not about one alone.
        inputs: sums of what else the numbers depend on: photos, weights of estimators.
    """
    found = {
        "title": title,
        "command": command(sys.argv),
        "note": note,
        "rows": list(rows),
        "results": _plain(results),
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(device),
    }
    if checkpoints is not None:
        found["checkpoints"] = {name: describe(one) for name, one in checkpoints.items()}
    if inputs is not None:
        found["inputs"] = dict(inputs)
    return found


def write_report(path: str | Path, checkpoint: str | None, tables: Sequence[dict[str, Any]]) -> dict:
    """Adds tables to an ``eval.json``; those with other titles stay.

    Args:
        path: the file; new, or a report on the same weights.
        checkpoint: what was measured: a folder, a Hub repository, None for the bundled one.
        tables: from ``table``.

    Returns:
        The report.

    Raises:
        ConfigError: if the file holds something else or belongs to other weights.
    """
    path = Path(path)
    described = describe(checkpoint)
    kept = []
    if path.exists():
        old = read_report(path)
        if old["checkpoint"]["sha256"] != described["sha256"]:
            raise ConfigError(f"{path} holds numbers of other weights: choose another file or delete it")
        titles = {one["title"] for one in tables}
        kept = [one for one in old["tables"] if one["title"] not in titles]
    report = {"format": FORMAT, "checkpoint": described, "refined": False, "tables": [*kept, *tables]}
    commits = {one["commit"] for one in report["tables"]}
    if len(commits) == 1 and None not in commits:
        report["commit"] = commits.pop()
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(
        json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    os.replace(temporary, path)
    return report


def write_speed(path: str | Path, tables: Sequence[dict[str, Any]]) -> None:
    """Writes timings of random weights, which belong to no checkpoint, as JSON.

    Raises:
        ConfigError: if the file cannot be written.
    """
    try:
        Path(path).write_text(
            json.dumps({"format": SPEED_FORMAT, "tables": list(tables)}, indent=1) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def read_report(path: str | Path) -> dict[str, Any]:
    """Reads an ``eval.json``.

    Raises:
        ConfigError: if it is not one.
    """
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise ConfigError(f"{path} is not a report of format {FORMAT}: choose another file")
    return report


def markdown(tables: Sequence[Mapping[str, Any]]) -> str:
    """Tables with their commands and notes, as text."""
    parts = []
    for one in tables:
        parts.append(f"### {one['title']}\n\n{markdown_table(one['rows'])}\n\n{one['note']}")
    return "\n\n".join(parts)


def describe(checkpoint: str | None) -> dict[str, Any]:
    """Name and SHA-256 sums of the weights of a checkpoint."""
    folder = resolve(checkpoint)
    sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    name = "bundled" if checkpoint is None else without_folders(str(checkpoint))
    weights = {k: v for k, v in sums.items() if k.endswith(".safetensors") and not k.startswith("refiner/")}
    return {"name": name, "sha256": weights}


def _plain(value: Any) -> Any:
    """JSON data: dataclasses as objects, numpy numbers as numbers, what is not finite as null."""
    if dataclasses.is_dataclass(value):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if abs(value) < float("inf") else None
    return value
