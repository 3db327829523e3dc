"""How the cost of a picture grows with its size, the samples of a ray, the batch, and a video's frames."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from facesep.config import preset
from facesep.environment import hardware
from facesep.errors import ConfigError
from facesep.evaluation.bench.forms import REFERENCE, build, changed, random_codes, random_model
from facesep.evaluation.bench.rounds import OnRound, Task, time_rounds, warm_up
from facesep.evaluation.report import table
from facesep.evaluation.statistics import Row

SIZE, SAMPLES, BATCH, FRAMES = "pixels a side", "samples a ray", "faces at once", "frames of an orbit"
POINTS: dict[str, tuple[int, ...]] = {
    SIZE: (64, 128, 256, 512, 1024),
    SAMPLES: (8, 16, 32, 64, 128),
    BATCH: (1, 2, 4, 8),
    FRAMES: (15, 30, 60, 120),
}
"""What is varied, one at a time, and its values by default."""
SETTING = {SIZE: "image_size", SAMPLES: "samples"}
"""The decoder's setting behind what is varied."""
NOTE = (
    "Preset {preset}, random weights; one thing is varied at a time, the others are those of the preset. "
    "{repeats} interleaved rounds, the fastest counts. Size, samples and batch: seconds to render codes; "
    "frames: seconds to render an orbit and to write it as an mp4."
)


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
        names: forms, see ``facesep.evaluation.bench.forms.FORMS``.
        points: values of each thing that is varied.
        device: where.
        folder: for the videos.

    Raises:
        ConfigError: for a size that the preset cannot have, or an unknown form.
    """
    config = preset(name)
    found: dict[tuple[str, int, str], Task] = {}
    codes = random_codes(max(points.get(BATCH, (1,)))).to(device)
    for varied in (SIZE, SAMPLES, BATCH):
        for value in points.get(varied, ()):
            setting = {SETTING[varied]: value} if varied in SETTING else {}
            some = codes[: value if varied == BATCH else 1]
            for form in build(random_model(changed(config, **setting), device), names):
                found[varied, value, form.name] = lambda f=form, c=some: f.render(c)
    if points.get(FRAMES) and folder is not None:
        for form in build(random_model(config, device), [one for one in names if one != REFERENCE]):
            path = folder / f"{form.name.replace(' ', '-')}.mp4"
            for count in points[FRAMES]:
                task = lambda f=form, p=path, n=count: f.sep.orbit(codes[0], p, frames=n)  # noqa: E731
                found[FRAMES, count, form.name] = task
    return found


@torch.no_grad()
def measure(
    name: str,
    names: Sequence[str] = (REFERENCE, "float32"),
    points: Mapping[str, Sequence[int]] = POINTS,
    *,
    device: str = "cpu",
    repeats: int = 3,
    on_round: OnRound = None,
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
    with tempfile.TemporaryDirectory(prefix="facesep-scaling-") as folder:
        todo = tasks(name, names, points, device, Path(folder))
        if not todo:
            raise ConfigError("there is nothing to measure: name sizes, samples, batches or frames")
        warm_up(todo.values(), device)
        found = time_rounds(todo, repeats, device, on_round)
    return [
        {"varied": varied, "value": value, "form": form, "seconds": one.least, "CPU seconds": min(one.cpu)}
        for (varied, value, form), one in found.items()
    ]


def scaling_table(rows: Sequence[Mapping[str, Any]], name: str, repeats: int, device: str) -> dict[str, Any]:
    """The rows for people, one column for each form."""
    shown: dict[tuple[str, int], Row] = {}
    for row in rows:
        line = shown.setdefault((row["varied"], row["value"]), {"varied": row["varied"], "": row["value"]})
        line[f"{row['form']} (s)"] = f"{row['seconds']:.3f}"
    columns = dict.fromkeys(key for line in shown.values() for key in line)
    lines = [{key: line.get(key, "") for key in columns} for line in shown.values()]
    note = NOTE.format(preset=name, repeats=repeats)
    title = f"How cost grows, {name} ({hardware(device)})"
    return table(title, lines, note, {"points": list(rows)}, device=device)
