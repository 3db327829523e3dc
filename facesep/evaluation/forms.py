"""The same model in several forms, timed in one interleaved run, with their results compared.

The reference form (:mod:`facesep.evaluation.reference`) is what the others are measured by. All forms share
the process, its threads and its allocator, and each round runs every form once, so that what else the machine
does falls on all of them.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from facesep.backends import choose
from facesep.camera import orbit_path
from facesep.codes import CODE_LENGTH, Codes
from facesep.config import ModelConfig, preset
from facesep.errors import ConfigError
from facesep.evaluation.reference import ReferenceDecoder, encode
from facesep.model import FaceSep

REFERENCE = "reference"
FORMS: dict[str, tuple[str, torch.dtype]] = {
    REFERENCE: ("torch", torch.float32),
    "float32": ("torch", torch.float32),
    "bfloat16": ("torch", torch.bfloat16),
    "openvino float32": ("openvino", torch.float32),
    "openvino bfloat16": ("openvino", torch.bfloat16),
    "onnx float32": ("onnx", torch.float32),
    "graphs float32": ("graphs", torch.float32),
    "graphs bfloat16": ("graphs", torch.bfloat16),
}
"""Backend and number format of each form."""
ENCODE, RENDER, BOTH = "encode", "render", "encode and render"
SIDE = 1024
"""Side of the matrices whose product measures the machine."""


@dataclass
class Measured:
    """One stage of one form.

    Attributes:
        wall: seconds of each round.
        cpu: processor seconds of each round, all threads.
        work: multiply-adds and additions of the folded network in GFLOP, 0 where not counted.
        error: largest difference from the reference form as a share of the largest value.
        decibels: peak signal-to-noise ratio to the reference form, for images.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    work: float = 0.0
    error: float | None = None
    decibels: float | None = None


@dataclass(frozen=True)
class Form:
    """One way of computing a model."""

    name: str
    encode: Callable[[Tensor], Codes]
    render: Callable[[Codes], Tensor]


def random_model(config: ModelConfig, device: str = "cpu") -> FaceSep:
    """A model of random weights whose images are not flat, which would hide errors."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sep = FaceSep(config)
    for parameter in sep.decoder.upsampler.parameters():
        parameter.mul_(2)
    return sep.to(device)


def random_codes(count: int) -> Codes:
    """Codes of heads that look roughly at the camera."""
    vector = torch.randn(count, CODE_LENGTH, generator=torch.Generator().manual_seed(1)) * 0.3
    vector[:, -6:] *= 0.2
    return Codes.from_vector(vector)


def sized(name: str, size: int | None = None) -> ModelConfig:
    """A preset for images of ``size`` pixels, by default its own."""
    config = preset(name)
    if size is None:
        return config
    return dataclasses.replace(config, decoder=dataclasses.replace(config.decoder, image_size=size))


def build(sep: FaceSep, names: Sequence[str]) -> list[Form]:
    """The forms of a model.

    Raises:
        ConfigError: for an unknown name, or if its backend is not installed or not for this device.
    """
    found = []
    for name in names:
        if name not in FORMS:
            raise ConfigError(f"unknown form {name!r}: choose from {', '.join(FORMS)}")
        if name == REFERENCE:
            decoder = ReferenceDecoder(sep.decoder)
            found.append(Form(name, lambda x: encode(sep.encoder, x), lambda c, d=decoder: d(c).image))
            continue
        backend, dtype = FORMS[name]
        backend = choose(backend, sep.device, dtype)
        same = (backend, dtype) == ("torch", torch.float32)
        one = sep if same else copy.deepcopy(sep)._with_backend(backend, sep.device, dtype)
        found.append(Form(name, one.encoder, lambda c, d=one.decoder: _each(d, c)))
    return found


def _each(decoder: Callable[..., Any], codes: Codes) -> Tensor:
    """Face by face on a CPU, as :meth:`FaceSep.render` does; all at once on a GPU."""
    if codes.rotation.is_cuda:
        return decoder(codes).image
    return torch.cat([decoder(codes[i : i + 1]).image for i in range(len(codes))])


@torch.no_grad()
def compare(
    sep: FaceSep,
    names: Sequence[str],
    *,
    stages: Sequence[str] = (ENCODE, RENDER),
    batches: Sequence[int] = (1,),
    frames: int = 0,
    repeats: int = 3,
    reference_orbit: bool = False,
    on_round: Callable[[int], object] | None = None,
) -> tuple[dict[tuple[str, int], dict[str, Measured]], dict[str, list[float]]]:
    """Times all forms.

    Args:
        sep: the model, in float32.
        names: of :data:`FORMS`; the first is what the others are compared with.
        stages: ``encode``, ``render`` or both.
        batches: numbers of faces at once.
        frames: of an orbit, rendered one after the other without a video file; 0 for none.
        repeats: rounds that count, after one that does not.
        reference_orbit: whether the reference form renders the orbit as well, which takes long.
        on_round: called with the number of rounds done.

    Returns:
        Results by (stage, batch) and form; and GFLOP/s of the machine's matrix product in each round, by
        number format.
    """
    forms = build(sep, names)
    generator = torch.Generator().manual_seed(1)
    tasks: dict[tuple[str, int], dict[str, Callable[[], Any]]] = {}
    for batch in batches:
        size = sep.image_size
        image = torch.rand(batch, 3, size, size, generator=generator).to(sep.device)
        codes = random_codes(batch).to(sep.device)
        chosen: dict[str, dict[str, Callable[[], Any]]] = {}
        chosen[ENCODE] = {f.name: lambda f=f, x=image: f.encode(x).vector() for f in forms}
        chosen[RENDER] = {f.name: lambda f=f, c=codes: f.render(c) for f in forms}
        tasks |= {(stage, batch): chosen[stage] for stage in stages}
    if frames:
        path = orbit_path(frames).to(sep.device)
        one = codes[:1]
        tasks[f"orbit of {frames} frames", 1] = {
            f.name: lambda f=f: [f.render(one.replace(rotation=turn[None])) for turn in path]
            for f in forms
            if f.name != REFERENCE or reference_orbit
        }
    results = {key: {name: Measured() for name in group} for key, group in tasks.items()}
    for (stage, batch), group in tasks.items():
        _agree(stage, group, results[stage, batch])
        if stage in (ENCODE, RENDER) and batch == 1:
            work = _work(sep, stage, image[:1], codes[:1])
            for one_result in results[stage, batch].values():
                one_result.work = work
    rates: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for done in range(1, repeats + 1):
        for name, values in rates.items():
            values.append(_rate(getattr(torch, name), sep.device))
        for key, group in tasks.items():
            for name, task in group.items():
                wall, cpu = timed(task, sep.device)
                results[key][name].wall.append(wall)
                results[key][name].cpu.append(cpu)
        if on_round:
            on_round(done)
    for batch in batches if {ENCODE, RENDER} <= set(stages) else ():
        results[BOTH, batch] = {
            name: _sum(results[ENCODE, batch][name], results[RENDER, batch][name]) for name in names
        }
    return results, rates


def _sum(a: Measured, b: Measured) -> Measured:
    """Two stages one after the other, round by round; the errors are those of each alone."""
    add = lambda x, y: [p + q for p, q in zip(x, y, strict=True)]  # noqa: E731
    return Measured(add(a.wall, b.wall), add(a.cpu, b.cpu), a.work + b.work)


def _agree(stage: str, group: dict[str, Callable[[], Any]], results: dict[str, Measured]) -> None:
    """Runs each form once, which also warms it up, and compares its result with the first one's."""
    wanted = None
    for name, task in group.items():
        found = task()
        found = (found[0] if isinstance(found, list) else found).float()
        if wanted is None:
            wanted = found
            continue
        results[name].error = ((found - wanted).abs().max() / wanted.abs().max()).item()
        if stage != ENCODE:
            noise = (found - wanted).square().mean().clamp_min(1e-20)
            results[name].decibels = -10 * noise.log10().item()


def _work(sep: FaceSep, stage: str, image: Tensor, codes: Codes) -> float:
    """GFLOP of the folded network: products of matrices and convolutions, as its layers have them."""
    counter = FlopCounterMode(display=False)
    with torch.enable_grad(), counter:  # with gradients nothing is rearranged into strips
        sep.encoder(image) if stage == ENCODE else sep.decoder(codes)
    return counter.get_total_flops() / 1e9


def timed(task: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Wall and processor seconds."""
    _wait(device)
    wall, cpu = time.perf_counter(), time.process_time()
    task()
    _wait(device)
    return time.perf_counter() - wall, time.process_time() - cpu


def _rate(dtype: torch.dtype, device: torch.device) -> float:
    a = torch.randn(SIDE, SIDE, device=device).to(dtype)
    a @ a
    wall, _ = timed(lambda: [a @ a for _ in range(4)], device)
    return 8e-9 * SIDE**3 / wall


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rows(
    results: dict[tuple[str, int], dict[str, Measured]], rates: dict[str, list[float]]
) -> list[dict[str, Any]]:
    """The table: one row for each stage and form."""
    table = []
    for (stage, batch), group in results.items():
        first = group.get(REFERENCE)
        for name, one in group.items():
            dtype = str(FORMS[name][1]).removeprefix("torch.")
            share = one.work / min(one.wall) / max(rates[dtype]) if one.work else None
            count = int(stage.split()[2]) if stage.startswith("orbit") else batch
            table.append(
                {
                    "stage": stage,
                    "batch": batch,
                    "form": name,
                    "min (s)": f"{min(one.wall):.3f}",
                    "median (s)": f"{statistics.median(one.wall):.3f}",
                    "CPU (s)": f"{min(one.cpu):.2f}",
                    "images/s": f"{count / min(one.wall):.2f}",
                    "x wall": f"{min(first.wall) / min(one.wall):.2f}" if first else "",
                    "x CPU": f"{min(first.cpu) / min(one.cpu):.2f}" if first else "",
                    "share of matmul": f"{100 * share:.0f} %" if share else "",
                    "largest difference": "" if one.error is None else f"{one.error:.1e}",
                    "dB": "" if one.decibels is None else f"{one.decibels:.0f}",
                }
            )
    return table
