"""``eval/speed.py --preset``: the comparison of all forms as a table, JSON and a plot."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from facesep.backends import PACKAGES, missing
from facesep.environment import hardware
from facesep.errors import ConfigError
from facesep.evaluation import forms
from facesep.evaluation.memory import added_megabytes
from facesep.evaluation.report import table

FORMAT = "facesep-speed-1"
ALLOCATOR = ("MALLOC_", "LD_PRELOAD", "THP_MEM_ALLOC_ENABLE", "GLIBC_TUNABLES", "PYTORCH_")
"""Beginnings of environment variables that change how memory is got; all forms share them."""
NOTE = (
    "Random weights. {repeats} interleaved rounds, every form once in each; min and median. 'x': times "
    "faster than the reference form in the same run, by the fastest round. 'share of matmul': the folded "
    "network's products and convolutions, by the rate of {side} x {side} matrix products of the same number "
    "format in the same run: {rates}. Differences are from the reference form, as a share of the largest "
    "value. Allocator settings, the same for all: {allocator}."
)


def usable(device: str) -> list[str]:
    """Forms that can be computed here."""
    there = {
        "cpu": {"torch", *(name for name in PACKAGES if not missing(name))},
        "cuda": {"torch", "graphs"},
    }.get(torch.device(device).type, {"torch"})
    return [name for name, (backend, _) in forms.FORMS.items() if backend in there]


def race(
    preset: str,
    sizes: Sequence[int | None],
    names: Sequence[str] | None = None,
    *,
    device: str = "cpu",
    stages: Sequence[str] = (forms.ENCODE, forms.RENDER),
    batches: Sequence[int] = (1,),
    frames: int = 0,
    repeats: int = 3,
    memory: bool = True,
    on_round: Callable[[int], object] | None = None,
) -> list[dict[str, Any]]:
    """Measures all forms at all sizes.

    Args:
        preset: name of the model's preset.
        sizes: sides of the image in pixels; None for the preset's own.
        names: forms, the reference form first; by default all that can be computed here.
        device: where.
        stages: ``encode``, ``render`` or both.
        batches: numbers of faces at once.
        frames: of an orbit; 0 for none.
        repeats: rounds.
        memory: also measure the memory that each form adds, on a CPU.
        on_round: called with the number of rounds done at a size.

    Returns:
        One table for each size.
    """
    names = usable(device) if names is None else list(names)
    tables = []
    for size in sizes:
        config = forms.sized(preset, size)
        side = config.decoder.image_size
        sep = forms.random_model(config, device)
        results, rates = forms.compare(
            sep,
            names,
            stages=stages,
            batches=batches,
            frames=frames,
            repeats=repeats,
            reference_orbit=side <= 256,
            on_round=on_round,
        )
        rows = forms.rows(results, rates)
        del sep
        if memory and torch.device(device).type == "cpu":
            for row in rows:
                if row["batch"] == 1 and row["stage"] in (forms.ENCODE, forms.RENDER):
                    added = added_megabytes(row["form"], preset, side, row["stage"])
                    row["added MB"] = "" if added is None else f"{added:.0f}"
        shown = "; ".join(f"{kind} {max(values):.0f} GFLOP/s" for kind, values in rates.items())
        note = NOTE.format(repeats=repeats, side=forms.SIDE, rates=shown, allocator=allocator())
        raw = {
            "stages": [
                {"stage": stage, "batch": batch, "form": name, **vars(one)}
                for (stage, batch), group in results.items()
                for name, one in group.items()
            ],
            "matmul_gflops": rates,
        }
        title = f"Speed of {preset} at {side} px ({hardware(device)})"
        tables.append(table(title, rows, note, raw, device=device))
    return tables


def allocator() -> str:
    """Settings of the memory allocator in this process's environment."""
    found = [f"{key}={value}" for key, value in sorted(os.environ.items()) if key.startswith(ALLOCATOR)]
    return ", ".join(found) or "none, the system's own"


def write(path: str | Path, tables: list[dict[str, Any]]) -> None:
    """Writes the tables with all their numbers as JSON.

    Raises:
        ConfigError: if the file cannot be written.
    """
    try:
        Path(path).write_text(json.dumps({"format": FORMAT, "tables": tables}, indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
