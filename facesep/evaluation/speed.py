"""How long each step takes on this machine, in one interleaved run with the machine's own speed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from facesep.evaluation.report import Row
from facesep.images import Source, load_image
from facesep.model import FaceSep

MATMUL = 1024
"""Side of the square float32 matrices whose product measures the machine."""
MATMUL_PRODUCTS = 4
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


@dataclass(frozen=True)
class Timing:
    """Seconds of one step."""

    least: float
    median: float

    @staticmethod
    def of(seconds: list[float]) -> Timing:
        """Minimum and median of some measurements."""
        return Timing(min(seconds), statistics.median(seconds))


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        steps: timing by name of the step.
        matmul: the machine's speed in GFLOP/s, best and median, as a timing of its reciprocal.
    """

    steps: dict[str, Timing]
    matmul: Timing

    @property
    def gflops(self) -> tuple[float, float]:
        """Best and median rate of the matrix product."""
        work = 2e-9 * MATMUL**3 * MATMUL_PRODUCTS
        return work / self.matmul.least, work / self.matmul.median


def measure(
    checkpoint: str | None,
    photo: Source,
    repeats: int = 5,
    frames: int = 60,
    device: str = "cpu",
    refiner: str | None = None,
    on_round: Callable[[int], object] | None = None,
) -> Speed:
    """Times every step, in rounds: each round runs each step once.

    Args:
        checkpoint: folder, Hub repository, or None for the bundled one.
        photo: a photo with one face.
        repeats: rounds that count.
        frames: of the orbit, which is written as an mp4; 0 leaves it out.
        refiner: folder or repository; by default the checkpoint's own, if it has one.
        device: where the networks run.
        on_round: called with the number of rounds done.
    """
    sep = FaceSep.from_pretrained(checkpoint).to(device)
    if refiner is not None:
        from facesep.refine import FaceRefiner

        sep.refiner = FaceRefiner.from_pretrained(refiner)
    image = load_image(photo)
    aligned = sep.align(image)
    codes = sep.encode(aligned)
    a = torch.randn(MATMUL, MATMUL, device=device)

    def products() -> None:
        for _ in range(MATMUL_PRODUCTS):
            a @ a

    with tempfile.TemporaryDirectory(prefix="facesep-speed-") as folder:
        steps: dict[str, Callable[[], object]] = {
            "matmul": products,
            LOADING: lambda: FaceSep.from_pretrained(checkpoint).to(device),
            ALIGNING: lambda: sep.align(image),
            ENCODING: lambda: sep.encode(aligned),
            RENDERING: lambda: sep.render(codes),
            BOTH: lambda: sep.render(sep.encode(aligned)),
        }
        if sep.has_refiner:
            picture = sep.render(codes)
            steps[REFINING] = lambda: sep.refiner.refine(picture)
        if frames:
            path = Path(folder) / "orbit.mp4"
            steps[f"orbit of {frames} frames, mp4"] = lambda: sep.orbit(codes, path, frames=frames)
        for name in {"matmul", ALIGNING, ENCODING, RENDERING, REFINING} & steps.keys():  # these plan first
            _seconds(steps[name], device)
        seconds: dict[str, list[float]] = {IMPORTING: [], **{name: [] for name in steps}}
        for done in range(1, repeats + 1):
            seconds[IMPORTING].append(_import_seconds())
            for name, step in steps.items():
                seconds[name].append(_seconds(step, device))
            if on_round:
                on_round(done)
    matmul = Timing.of(seconds.pop("matmul"))
    return Speed({name: Timing.of(values) for name, values in seconds.items()}, matmul)


def rows(speed: Speed) -> list[Row]:
    """The table: one row for each step."""
    return [
        {"step": name, "min (s)": f"{one.least:.3f}", "median (s)": f"{one.median:.3f}"}
        for name, one in speed.steps.items()
    ]


def note(speed: Speed, checkpoint: str | None, photo: Source, repeats: int) -> str:
    """What the numbers mean."""
    sep = FaceSep.from_pretrained(checkpoint)
    image = load_image(photo)
    best, median = speed.gflops
    return NOTE.format(
        size=sep.image_size,
        dtype=str(sep.dtype).removeprefix("torch."),
        repeats=repeats,
        width=image.width,
        height=image.height,
        matmul=MATMUL,
        best=best,
        median=median,
    )


def _seconds(step: Callable[[], object], device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    step()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    """Waits until the device has done what was asked of it."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _import_seconds() -> float:
    """Time of the import in a fresh interpreter, without the interpreter's own start."""
    run = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return float(run.stdout)
