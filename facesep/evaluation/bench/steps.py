"""Seconds of each step from a photo to a picture, and frames per second (Table 4 of the paper)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facesep.environment import hardware
from facesep.evaluation.bench.rounds import (
    MATMUL,
    OnRound,
    Task,
    Timing,
    gflops,
    matmul,
    time_rounds,
    warm_up,
)
from facesep.evaluation.paper import TABLE_4
from facesep.evaluation.report import table
from facesep.evaluation.statistics import Row
from facesep.images import Source, load_image
from facesep.model import FaceSep

IMPORT = "import time; t = time.perf_counter(); from facesep import FaceSep; print(time.perf_counter() - t)"

IMPORTING, LOADING, ALIGNING, ENCODING, RENDERING, BOTH, REFINING = (
    "import",
    "load the checkpoint",
    "detect and align",
    "encode",
    "render",
    "encode and render",
    "refine",
)

NOTE = (
    "Seconds, one photo at a time (batch 1, {size} px, {dtype}), {repeats} interleaved repeats; the first "
    "pass of each step after loading is left out, import and loading are timed fresh each time. Detection "
    "and alignment: a photo of {width} x {height} pixels. Encoding begins with the aligned crop; refining, "
    "where there is a refiner, with a render. Beside "
    "them the product of two {matmul} x {matmul} float32 matrices reached {best:.0f} GFLOP/s at best and "
    "{median:.0f} in the median: where both differ much, other programs were running."
)
FPS_NOTE = (
    "Photo to reconstructed picture, batch 1, medians; refinement is not part of it. Rows 'paper' were "
    "measured on an RTX 3090 and do not say whether detection is included; ours on {machine}, so only rows "
    "of one machine can be compared."
)


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        steps: timing by name of the step.
        matmul: timing of the machine's matrix product.
        about: what the note says of model and photo.
    """

    steps: dict[str, Timing]
    matmul: Timing
    about: Mapping[str, Any]

    @property
    def gflops(self) -> dict[str, float]:
        """Best and median rate of the matrix product."""
        return {"best": gflops(self.matmul.least), "median": gflops(self.matmul.median)}


def measure(
    checkpoint: str | None,
    photo: Source,
    repeats: int = 5,
    frames: int = 60,
    device: str = "cpu",
    refiner: str | None = None,
    on_round: OnRound = None,
) -> Speed:
    """Times every step, in rounds: each round runs each step once.

    Args:
        checkpoint: folder, Hub repository, or None for the bundled one.
        photo: a photo with one face.
        repeats: rounds that count.
        frames: of the orbit, which is written as an mp4; 0 leaves it out.
        device: where the networks run.
        refiner: folder or repository; by default the checkpoint's own, if it has one.
        on_round: called with the number of rounds done.
    """
    sep = FaceSep.from_pretrained(checkpoint).to(device)
    if refiner is not None:
        from facesep.refine import FaceRefiner

        sep.refiner = FaceRefiner.from_pretrained(refiner)
    image = load_image(photo)
    aligned = sep.align(image)
    codes = sep.encode(aligned)
    steps: dict[str, Task] = {
        ALIGNING: lambda: sep.align(image),
        ENCODING: lambda: sep.encode(aligned),
        RENDERING: lambda: sep.render(codes),
    }
    if sep.has_refiner:
        picture = sep.render(codes)
        steps[REFINING] = lambda: sep.refiner.refine(picture)
    warm_up(steps.values(), device)
    products = matmul(torch.float32, device)
    with tempfile.TemporaryDirectory(prefix="facesep-speed-") as folder:
        tasks: dict[str, Task] = {
            IMPORTING: import_seconds,
            "matmul": products,
            LOADING: lambda: FaceSep.from_pretrained(checkpoint).to(device),
            **{name: steps[name] for name in (ALIGNING, ENCODING, RENDERING)},
            BOTH: lambda: sep.render(sep.encode(aligned)),
            **steps,
        }
        if frames:
            path = Path(folder) / "orbit.mp4"
            tasks[f"orbit of {frames} frames, mp4"] = lambda: sep.orbit(codes, path, frames=frames)
        timings = time_rounds(tasks, repeats, device, on_round)
    dtype = str(sep.dtype).removeprefix("torch.")
    about = {"size": sep.image_size, "dtype": dtype, "width": image.width, "height": image.height}
    return Speed(timings, timings.pop("matmul"), {**about, "repeats": repeats})


def import_seconds() -> float:
    """Time of the import in a fresh interpreter, without the interpreter's own start."""
    run = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return float(run.stdout)


def frames_per_second(speed: Speed, fitted: Mapping[str, float] | None = None) -> dict[str, float]:
    """Rates by method.

    Args:
        speed: measured steps.
        fitted: mean seconds for a photo of methods that fit each photo.
    """
    both, align = speed.steps[BOTH].median, speed.steps[ALIGNING].median
    found = {
        "facesep, from the aligned crop": 1 / both,
        "facesep, with detection and alignment": 1 / (both + align),
    }
    return found | {name: 1 / seconds for name, seconds in (fitted or {}).items()}


def fps_rows(rates: Mapping[str, float]) -> list[Row]:
    """Our rows of Table 4 and the paper's."""
    shown = {**rates, **{f"paper: {name}": rate for name, rate in TABLE_4.items()}}
    return [
        {"method": name, "FPS": f"{rate:.3g}", "seconds a photo": f"{1 / rate:.3g}"}
        for name, rate in shown.items()
    ]


def tables(speed: Speed, device: str, fitted: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """Seconds of the steps, and Table 4."""
    machine, rates = hardware(device), frames_per_second(speed, fitted)
    rows = [
        {"step": name, "min (s)": f"{one.least:.3f}", "median (s)": f"{one.median:.3f}"}
        for name, one in speed.steps.items()
    ]
    seconds = {name: {"least": one.least, "median": one.median} for name, one in speed.steps.items()}
    results = {"seconds": seconds, "matmul_gflops": speed.gflops}
    note = NOTE.format(matmul=MATMUL, **speed.about, **speed.gflops)
    fps = FPS_NOTE.format(machine=machine)
    return [
        table(f"Speed ({machine})", rows, note, results, device=device),
        table(f"Table 4: frames per second ({machine})", fps_rows(rates), fps, rates, device=device),
    ]
