"""How the cost of a picture grows with its size, the samples of a ray, the batch, and a video's frames."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from facesep.config import preset
from facesep.environment import hardware
from facesep.errors import ConfigError
from facesep.evaluation import forms
from facesep.evaluation.forms import FORMS, REFERENCE
from facesep.evaluation.report import table

SIZE, SAMPLES, BATCH, FRAMES = "pixels a side", "samples a ray", "faces at once", "frames of an orbit"
POINTS: dict[str, tuple[int, ...]] = {
    SIZE: (64, 128, 256, 512, 1024),
    SAMPLES: (8, 16, 32, 64, 128),
    BATCH: (1, 2, 4, 8),
    FRAMES: (15, 30, 60, 120),
}
"""What is varied, one at a time, and its values by default."""
NOTE = (
    "Preset {preset}, random weights; one thing is varied at a time, the others are those of the preset. "
    "{repeats} interleaved rounds, the fastest counts. Size, samples and batch: seconds to render codes; "
    "frames: seconds to render an orbit and to write it as an mp4."
)

Task = Callable[[], object]


def tasks(
    name: str,
    names: Sequence[str],
    points: Mapping[str, Sequence[int]],
    device: str = "cpu",
    folder: Path | None = None,
) -> dict[tuple[str, int, str], Task]:
    """What is timed, by what is varied, its value and the form.

    Args:
        name: of a preset.
        names: forms, see :data:`facesep.evaluation.forms.FORMS`.
        points: values of each thing that is varied.
        device: where.
        folder: for the videos.

    Raises:
        ConfigError: for a size that the preset cannot have, or an unknown form.
    """
    config = preset(name)
    found: dict[tuple[str, int, str], Task] = {}
    codes = forms.random_codes(max(points.get(BATCH, (1,)))).to(device)

    def render(changed: dict[str, int], count: int) -> dict[str, Task]:
        model = dataclasses.replace(config, decoder=dataclasses.replace(config.decoder, **changed))
        built = forms.build(forms.random_model(model, device), names)
        return {form.name: lambda form=form: form.render(codes[:count]) for form in built}

    for size in points.get(SIZE, ()):
        found |= {(SIZE, size, form): task for form, task in render({"image_size": size}, 1).items()}
    for samples in points.get(SAMPLES, ()):
        found |= {(SAMPLES, samples, form): task for form, task in render({"samples": samples}, 1).items()}
    batched = {count: render({}, count) for count in points.get(BATCH, ())}
    found |= {(BATCH, count, form): task for count, group in batched.items() for form, task in group.items()}
    if points.get(FRAMES) and folder is not None:
        sep = forms.random_model(config, device)
        for form in (one for one in names if one != REFERENCE):
            backend, dtype = FORMS[form]
            one = copy.deepcopy(sep)._with_backend(backend, sep.device, dtype)
            for count in points[FRAMES]:
                path = folder / f"{form.replace(' ', '-')}.mp4"
                found[FRAMES, count, form] = lambda one=one, path=path, count=count: one.orbit(
                    codes[0], path, frames=count
                )
    return found


@torch.no_grad()
def measure(
    name: str,
    names: Sequence[str] = (REFERENCE, "float32"),
    points: Mapping[str, Sequence[int]] = POINTS,
    *,
    device: str = "cpu",
    repeats: int = 3,
    on_round: Callable[[int], object] | None = None,
) -> list[dict[str, Any]]:
    """Times all points in rounds, after one round that does not count.

    Args:
        name: of a preset.
        names: forms.
        points: values of each thing that is varied.
        device: where.
        repeats: rounds.
        on_round: called with the number of rounds done.

    Returns:
        One row for each point and form: ``varied``, ``value``, ``form``, ``seconds`` (of the fastest round)
        and ``CPU seconds``.
    """
    with tempfile.TemporaryDirectory(prefix="facesep-growth-") as folder:
        todo = tasks(name, names, points, device, Path(folder))
        if not todo:
            raise ConfigError("there is nothing to measure: name sizes, samples, batches or frames")
        best: dict[tuple[str, int, str], tuple[float, float]] = {}
        for done in range(repeats + 1):
            for key, task in todo.items():
                wall, cpu = forms.timed(task, torch.device(device))
                if done:
                    best[key] = min(best.get(key, (wall, cpu)), (wall, cpu))
            if on_round and done:
                on_round(done)
    return [
        {"varied": varied, "value": value, "form": form, "seconds": wall, "CPU seconds": cpu}
        for (varied, value, form), (wall, cpu) in best.items()
    ]


def as_table(rows: Sequence[Mapping[str, Any]], name: str, repeats: int, device: str) -> dict[str, Any]:
    """The rows as a table for people, one column for each form."""
    shown: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        line = shown.setdefault((row["varied"], row["value"]), {"varied": row["varied"], "": row["value"]})
        line[f"{row['form']} (s)"] = f"{row['seconds']:.3f}"
    title = f"How cost grows, {name} ({hardware(device)})"
    columns = dict.fromkeys(key for line in shown.values() for key in line)
    lines = [{key: line.get(key, "") for key in columns} for line in shown.values()]
    note = NOTE.format(preset=name, repeats=repeats)
    return table(title, lines, note, {"points": list(rows)}, device=device)
