"""Forms of computing a model side by side: their speed, their memory, and how far their results differ."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from facesep.codes import Codes
from facesep.environment import hardware
from facesep.evaluation.bench.forms import FORMS, REFERENCE, build, random_codes, random_model, sized, usable
from facesep.evaluation.bench.memory import added_megabytes
from facesep.evaluation.bench.rounds import MATMUL, OnRound, Timing, gflops, matmul, time_rounds
from facesep.evaluation.report import table
from facesep.evaluation.statistics import Row
from facesep.model import FaceSep

ENCODE, RENDER, BOTH = "encode", "render", "encode and render"
FORMATS = ("float32", "bfloat16")
"""Number formats in which the machine's matrix product is timed."""
ALLOCATOR = ("MALLOC_", "LD_PRELOAD", "THP_MEM_ALLOC_ENABLE", "GLIBC_TUNABLES", "PYTORCH_")
"""Beginnings of environment variables that change how memory is got; all forms share them."""
LARGEST_REFERENCE_ORBIT = 256
"""Side in pixels up to which the reference form renders the orbit as well: it takes long."""
NOTE = (
    "Random weights. {repeats} interleaved rounds, every form once in each; min and median. 'x': times "
    "faster than the reference form in the same run, by the fastest round. 'share of matmul': the folded "
    "network's products and convolutions, by the rate of {side} x {side} matrix products of the same number "
    "format in the same run: {rates}. Differences are from the reference form, as a share of the largest "
    "value. Allocator settings, the same for all: {allocator}."
)


@dataclass
class Measured:
    """One stage of one form.

    Attributes:
        timing: seconds of each round.
        work: multiply-adds and additions of the folded network in GFLOP, 0 where not counted.
        error: largest difference from the first form as a share of its largest value.
        decibels: peak signal-to-noise ratio to the first form, for images.
    """

    timing: Timing
    work: float = 0.0
    error: float | None = None
    decibels: float | None = None

    def record(self) -> dict[str, Any]:
        """JSON data."""
        return vars(self.timing) | {key: value for key, value in vars(self).items() if key != "timing"}


Results = dict[tuple[str, int, str], Measured]
"""By stage, batch and form."""


@torch.no_grad()
def compare(
    sep: FaceSep,
    names: Sequence[str],
    *,
    stages: Sequence[str] = (ENCODE, RENDER),
    batches: Sequence[int] = (1,),
    frames: int = 0,
    repeats: int = 3,
    on_round: OnRound = None,
) -> tuple[Results, dict[str, list[float]]]:
    """Times forms of one model in one process, with the same threads and allocator.

    Args:
        sep: the model, in float32.
        names: of ``FORMS``; the first is what the others are compared with.
        stages: ``encode``, ``render`` or both.
        batches: numbers of faces at once.
        frames: of an orbit, rendered one after the other without a video file; 0 for none.
        repeats: rounds that count, after one that does not.
        on_round: called with the number of rounds done.

    Returns:
        Results; and GFLOP/s of the machine's matrix product in each round, by number format.
    """
    generator = torch.Generator().manual_seed(1)
    forms = build(sep, names)
    tasks: dict[tuple[str, int, str], Callable[[], Any]] = {}
    work: dict[str, float] = {}
    for batch in batches:
        image = torch.rand(batch, 3, sep.image_size, sep.image_size, generator=generator).to(sep.device)
        codes = random_codes(batch).to(sep.device)
        if batch == 1:
            work = {stage: _work(sep, stage, image, codes) for stage in stages}
        run = {ENCODE: lambda f, x=image: f.encode(x).vector(), RENDER: lambda f, c=codes: f.render(c)}
        for stage, form in itertools.product(stages, forms):
            tasks[stage, batch, form.name] = functools.partial(run[stage], form)
    for form in forms if frames else ():
        if form.name != REFERENCE or sep.image_size <= LARGEST_REFERENCE_ORBIT:
            tasks[f"orbit of {frames} frames", 1, form.name] = lambda f=form: f.orbit(codes[:1], frames)
    found: Results = {}
    firsts: dict[tuple[str, int], Tensor] = {}
    for (stage, batch, form), task in tasks.items():  # which warms them up, too
        result = task()
        result = (result[0] if isinstance(result, list) else result).float()
        measured = found[stage, batch, form] = Measured(Timing(), work.get(stage, 0.0) * (batch == 1))
        if (first := firsts.setdefault((stage, batch), result)) is not result:
            measured.error = ((result - first).abs().max() / first.abs().max()).item()
            if stage != ENCODE:
                noise = (result - first).square().mean().clamp_min(1e-20)
                measured.decibels = -10 * noise.log10().item()
    machine = {name: matmul(getattr(torch, name), sep.device) for name in FORMATS}
    timings = time_rounds(machine | tasks, repeats, sep.device, on_round)
    rates = {name: [gflops(seconds) for seconds in timings.pop(name).wall] for name in FORMATS}
    for key, timing in timings.items():
        found[key].timing = timing
    for batch in batches if {ENCODE, RENDER} <= set(stages) else ():
        for name in names:
            parts = found[ENCODE, batch, name], found[RENDER, batch, name]
            both = Measured(parts[0].timing + parts[1].timing, parts[0].work + parts[1].work)
            found[BOTH, batch, name] = both
    return found, rates


def _work(sep: FaceSep, stage: str, image: Tensor, codes: Codes) -> float:
    """GFLOP of the folded network: products of matrices and convolutions, as its layers have them."""
    counter = FlopCounterMode(display=False)
    with torch.enable_grad(), counter:  # with gradients nothing is rearranged into strips
        sep.encoder(image) if stage == ENCODE else sep.decoder(codes)
    return counter.get_total_flops() / 1e9


def rows(found: Results, rates: Mapping[str, Sequence[float]]) -> list[Row]:
    """The table: one row for each stage and form."""
    lines = []
    for (stage, batch, form), one in found.items():
        first, time = found.get((stage, batch, REFERENCE)), one.timing
        dtype = str(FORMS[form][1]).removeprefix("torch.")
        share = one.work / time.least / max(rates[dtype]) if one.work else None
        count = int(stage.split()[2]) if stage.startswith("orbit") else batch
        lines.append(
            {
                "stage": stage,
                "batch": batch,
                "form": form,
                "min (s)": f"{time.least:.3f}",
                "median (s)": f"{time.median:.3f}",
                "CPU (s)": f"{min(time.cpu):.2f}",
                "images/s": f"{count / time.least:.2f}",
                "x wall": f"{first.timing.least / time.least:.2f}" if first else "",
                "x CPU": f"{min(first.timing.cpu) / min(time.cpu):.2f}" if first else "",
                "share of matmul": f"{100 * share:.0f} %" if share else "",
                "largest difference": "" if one.error is None else f"{one.error:.1e}",
                "dB": "" if one.decibels is None else f"{one.decibels:.0f}",
            }
        )
    return lines


def comparison_table(
    preset: str,
    size: int | None,
    names: Sequence[str] | None = None,
    *,
    device: str = "cpu",
    memory: bool = True,
    repeats: int = 3,
    **options: Any,
) -> dict[str, Any]:
    """Measures forms of a preset with random weights.

    Args:
        preset: name of the model's preset.
        size: side of the image in pixels; None for the preset's own.
        names: forms, the reference form first; by default all that can be computed here.
        device: where.
        memory: also measure the memory that each form adds, on a CPU.
        repeats: rounds.
        **options: of ``compare``.
    """
    sep = random_model(sized(preset, size), device)
    side = sep.image_size
    found, rates = compare(sep, names or usable(device), repeats=repeats, **options)
    lines = rows(found, rates)
    del sep
    for row in lines if memory and torch.device(device).type == "cpu" else ():
        if row["batch"] == 1 and row["stage"] in (ENCODE, RENDER):
            added = added_megabytes(row["form"], preset, side, row["stage"])
            row["added MB"] = "" if added is None else f"{added:.0f}"
    shown = "; ".join(f"{kind} {max(values):.0f} GFLOP/s" for kind, values in rates.items())
    settings = [f"{key}={value}" for key, value in sorted(os.environ.items()) if key.startswith(ALLOCATOR)]
    allocator = ", ".join(settings) or "none, the system's own"
    note = NOTE.format(repeats=repeats, side=MATMUL, rates=shown, allocator=allocator)
    stages = [
        {"stage": stage, "batch": batch, "form": form, **one.record()}
        for (stage, batch, form), one in found.items()
    ]
    results = {"stages": stages, "matmul_gflops": rates}
    return table(f"Speed of {preset} at {side} px ({hardware(device)})", lines, note, results, device=device)
