"""Measurements in processes of their own, each under a time limit, so that a table always comes to its end.

For machines that one has for minutes, where a form that nobody has tried may hang or take all the memory:
what it measured before is kept, and the others are measured. Training steps need what training needs, all
else no more than torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from facesep.environment import hardware
from facesep.evaluation.bench.comparison import compare
from facesep.evaluation.bench.forms import REFERENCE, random_model, sized
from facesep.evaluation.bench.rounds import time_rounds, warm_up
from facesep.evaluation.report import table
from facesep.evaluation.statistics import Row
from facesep.model import FaceSep

FORMS = (REFERENCE, "float32", "graphs bfloat16")
SIZES, BATCHES = (1024, 512, 256), (1, 8)
DETAIL_SIZES, DETAIL_BATCHES = (512, 1024), (1, 16)
TRAINING_BATCHES = (8, 64, 128)
EACH, TOTAL = 45.0, 460.0
"""Seconds for one process, and for all of them."""
NOTE = (
    "Each line of 'what', pixels and form was measured in a process of its own, which was ended after "
    "{each:g} seconds, or when {total:g} seconds had passed in all. The fastest of {repeats} rounds after "
    "one that does not count. 'x': times faster than the reference form, which ran in another process: "
    "compare only on a machine with nothing else to do. On a GPU 'float32' multiplies matrices in TF32. "
    "Photo detail: the bundled checkpoint, so many faces at once. Training: joint steps of mini.yaml with "
    "all losses."
)
Given = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """One process.

    Attributes:
        what: for the table.
        pixels: side of its images; 0 if it is not said.
        form: of computing.
        command: prints lines of JSON: objects with ``stage``, ``batch`` and ``seconds``.
    """

    what: str
    pixels: int
    form: str
    command: tuple[str, ...]


def parts(
    preset: str,
    sizes: Sequence[int] | None = None,
    forms: Sequence[str] | None = None,
    batches: Sequence[int] = BATCHES,
    repeats: int = 5,
    device: str = "cuda",
) -> list[Part]:
    """All measurements: those of the first size first, then what is not of the preset, then the other sizes.

    Args:
        preset: name of the model's preset.
        sizes: sides of its images in pixels.
        forms: of computing it, see ``facesep.evaluation.bench.forms.FORMS``.
        batches: numbers of faces at once.
        repeats: rounds that count.
        device: where.
    """
    module = (sys.executable, "-m", "facesep.evaluation.bench.apart")
    found = []
    for size in sizes or SIZES:
        for form in forms or FORMS:
            words = (preset, str(size), form, device, str(repeats), *map(str, batches))
            found.append(Part(preset, size, form, (*module, "forms", *words)))
    for size in DETAIL_SIZES:
        words = (str(size), device, str(repeats), *map(str, DETAIL_BATCHES))
        found.append(Part("photo detail", size, "float32", (*module, "detail", *words)))
    for batch in TRAINING_BATCHES:
        words = ("--kind", "joint", "--resolutions", "128", "--steps", str(repeats))
        command = (sys.executable, "-m", "facesep.train.cost", "--config", "mini", *words)
        found.append(Part("training", 128, "bfloat16", (*command, "--set", f"batch_size={batch}")))
    return sorted(found, key=lambda part: part.what == preset and part.pixels != found[0].pixels)


def run(part: Part, seconds: float) -> tuple[list[dict[str, Any]], str]:
    """Runs one process.

    Args:
        part: what it measures.
        seconds: after which it is ended.

    Returns:
        What it printed until then, and why it ended before its time, empty if it did not.
    """
    process = subprocess.Popen(part.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        printed, errors = process.communicate(timeout=seconds)
        why = ""
        if process.returncode:
            why = (errors.strip().splitlines() or [f"ended with {process.returncode}"])[-1][:200]
    except subprocess.TimeoutExpired:
        process.kill()
        why = f"ended after {seconds:.0f} s"
        try:
            printed, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:  # a driver holds it
            printed = ""
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")], why


def measure(
    todo: Sequence[Part],
    each: float = EACH,
    total: float = TOTAL,
    on_part: Callable[[list[Row], int], object] = lambda rows, done: None,
) -> list[Row]:
    """Runs all parts, one after the other.

    Args:
        todo: the parts.
        each: seconds for one of them.
        total: seconds for all.
        on_part: called with all rows and the number of parts done, after each.

    Returns:
        Rows of the table; a part that did not come to its end has one that says why.
    """
    end, rows = time.monotonic() + total, []
    for done, part in enumerate(todo, 1):
        left = min(each, end - time.monotonic())
        found, why = run(part, left) if left > 0 else ([], "not begun: no time was left")
        head = {"what": part.what, "pixels": part.pixels, "form": part.form}
        for one in found:
            seconds, batch = one["seconds"], one["batch"]
            row = {**head, "stage": one["stage"], "faces": batch, "seconds": f"{seconds:.4f}"}
            rows.append({**row, "images/s": f"{batch / seconds:.1f}", "x": "", "": ""})
        if why:
            rows.append({**head, "stage": "", "faces": "", "seconds": "", "images/s": "", "x": "", "": why})
        _ratios(rows)
        on_part(rows, done)
    return rows


def _ratios(rows: list[Row]) -> None:
    def key(row: Row) -> tuple:
        return row["what"], row["pixels"], row["stage"], row["faces"]

    reference = {key(row): row["seconds"] for row in rows if row["form"] == REFERENCE and row["seconds"]}
    for row in rows:
        if row["seconds"] and key(row) in reference:
            row["x"] = f"{float(reference[key(row)]) / max(float(row['seconds']), 1e-9):.1f}"


def apart_table(
    rows: Sequence[Row], each: float, repeats: int, device: str, total: float = TOTAL
) -> dict[str, Any]:
    """The rows with what they mean."""
    note = NOTE.format(each=each, total=total, repeats=repeats)
    return table(f"Forms apart ({hardware(device)})", rows, note, {"rows": list(rows)}, device=device)


def measure_forms(preset: str, size: str, form: str, device: str, repeats: str, *batches: str) -> Given:
    """One form of a preset with random weights."""
    if form == "float32":
        torch.set_float32_matmul_precision("high")  # TF32 on a GPU
    sep = random_model(sized(preset, int(size)), device)
    for batch in map(int, batches):
        found, _ = compare(sep, [form], batches=[batch], repeats=int(repeats))
        for (stage, _, _), one in found.items():
            yield {"stage": stage, "batch": batch, "seconds": one.timing.least}


@torch.no_grad()
def measure_detail(size: str, device: str, repeats: str, *batches: str) -> Given:
    """Photo detail of the bundled checkpoint with two of its example photos."""
    from facesep.detail.portrait import Portrait
    from facesep.detail.render import picture
    from facesep.evaluation.bench.detail import EDITS
    from facesep.moves import PHOTOS

    sep = FaceSep.from_pretrained(device=device)
    base, other = (sep.portrait(path) for path in sorted(PHOTOS.glob("*.jpg"))[:2])
    for batch in map(int, batches):
        many, donor = (Portrait.stack([one] * batch) for one in (base, other))
        for name in EDITS:
            edited = many.swap(donor, name)
            task = lambda one=edited: picture(sep.decoder, sep.landmarks, one, int(size))  # noqa: E731
            warm_up([task], device)
            timing = time_rounds({name: task}, int(repeats), device)[name]
            yield {"stage": name, "batch": batch, "seconds": timing.least}


def main(kind: str, *words: str) -> None:
    """Measures in this process and prints lines of JSON."""
    for one in {"forms": measure_forms, "detail": measure_detail}[kind](*words):
        sys.stdout.write(json.dumps(one) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
