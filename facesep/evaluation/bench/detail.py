"""Seconds and memory of photo detail, beside the plain render of the same codes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facesep.detail.render import picture
from facesep.environment import hardware
from facesep.evaluation.bench.memory import added
from facesep.evaluation.bench.rounds import (
    MATMUL,
    MATMUL_PRODUCTS,
    OnRound,
    Task,
    Timing,
    matmul,
    time_rounds,
    warm_up,
)
from facesep.evaluation.report import table
from facesep.images import Source, load_image
from facesep.model import FaceSep

PLAIN, READING = "plain render", "read a photo"
TURN = 15.0
"""Degrees of the turned head."""
EDITS = ("texture", "expression", "hair")
SIZES = (512, 1024)

NOTE = (
    "Seconds, one face at a time, {repeats} interleaved repeats; reading begins with a decoded photo of "
    "{width} x {height} pixels, whose crop is kept at {side} px; edits begin with portraits that are read. "
    "'x' is the median beside that of the plain render. Added memory is the peak of one call less what was "
    "in use before. Beside them a product of two {matrix} x {matrix} float32 matrices took {matmul:.4f} s at "
    "best and {median:.4f} s in the median: where both differ much, other programs were running."
)


def measure(
    sep: FaceSep,
    photo: Source,
    donor: Source,
    repeats: int = 5,
    frames: int = 60,
    device: str = "cpu",
    sizes: Sequence[int] = SIZES,
    on_round: OnRound = None,
) -> dict[str, Any]:
    """Times reading, edits by size, pasting back and an orbit; a table for the report.

    Args:
        sep: the model.
        photo: shows the base, one face.
        donor: another photo; gives what an open mouth shows, hair and colours.
        repeats: rounds that count.
        frames: of the orbit at the first of the sizes, written as an mp4; 0 leaves it out.
        device: where the networks run.
        sizes: sides of the results in pixels.
        on_round: called with the number of rounds done.
    """
    image = load_image(photo)
    base, other = sep.portrait(image), sep.portrait(donor)
    tasks: dict[str, Task] = {
        PLAIN: lambda: sep.render(base.codes, output="tensor"),
        READING: lambda: sep.portrait(image),
    }
    for size in sizes:
        tasks[f"turn, {size} px"] = lambda size=size: sep.render(base, yaw=TURN, size=size, output="tensor")
        for name in EDITS:
            edited = base.swap(other, name)
            tasks[f"{name}, {size} px"] = lambda edited=edited, size=size: picture(
                sep.decoder, sep.landmarks, edited, size
            )
    smiling = base.swap(other, "expression")
    tasks["expression, in the photo"] = lambda: sep.render(smiling, background="keep")
    warm_up(tasks.values(), device)
    memory = {name: added(task) for name, task in tasks.items()} if device == "cpu" else {}
    with tempfile.TemporaryDirectory(prefix="facesep-speed-") as folder:
        if frames:
            path = Path(folder) / "orbit.mp4"
            name = f"orbit of {frames} frames, {sizes[0]} px, mp4"
            tasks[name] = lambda: sep.orbit(base, path, size=sizes[0], frames=frames)
        products = matmul(base.base.colours.dtype, device)
        timings = time_rounds({"matmul": products, **tasks}, repeats, device, on_round)
    machine = timings.pop("matmul")
    plain = timings[PLAIN].median
    about = {"repeats": repeats, "width": image.width, "height": image.height, "side": base.base.size}
    about |= {
        "matrix": MATMUL,
        "matmul": machine.least / MATMUL_PRODUCTS,
        "median": machine.median / MATMUL_PRODUCTS,
    }
    return table(
        f"Photo detail ({hardware(device)})",
        [row(name, one, plain, memory.get(name)) for name, one in timings.items()],
        NOTE.format(**about),
        {name: {"least": one.least, "median": one.median} for name, one in timings.items()},
        device=device,
    )


def row(name: str, timing: Timing, plain: float, megabytes: float | None) -> dict[str, str]:
    """A row of the table."""
    return {
        "step": name,
        "min (s)": f"{timing.least:.3f}",
        "median (s)": f"{timing.median:.3f}",
        "CPU (s)": f"{min(timing.cpu):.3f}",
        "x": f"{timing.median / plain:.1f}",
        "added MB": "" if megabytes is None else f"{megabytes:.0f}",
    }
