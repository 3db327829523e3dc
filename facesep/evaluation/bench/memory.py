"""The memory that one render or encoding adds to a loaded model, each measured in a process of its own."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from facesep.errors import ConfigError

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def added_megabytes(name: str, preset: str, size: int, stage: str) -> float | None:
    """Measures one form in a new process, so that no other form's memory is used again.

    Args:
        name: of ``facesep.evaluation.bench.forms.FORMS``.
        preset: of the model.
        size: of its images in pixels.
        stage: ``encode`` or ``render``.

    Returns:
        Peak of the resident memory during the first call less what the loaded model had, in MB; None where
        the system does not tell (it takes Linux).

    Raises:
        ConfigError: if the process fails.
    """
    if not RESET.exists():
        return None
    words = [sys.executable, "-m", "facesep.evaluation.bench.memory", name, preset, str(size), stage]
    run = subprocess.run([*words, str(torch.get_num_threads())], capture_output=True, text=True)
    if run.returncode:
        raise ConfigError(f"measuring the memory of {name} failed: {run.stderr.strip()[-300:]}")
    return float(run.stdout.split()[-1])


def added(task: Callable[[], object]) -> float | None:
    """Peak of the resident memory during a call less what was in use, in MB; None where nobody tells."""
    if not RESET.exists():
        return None
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what was freed before must not serve the measured call
    RESET.write_text("5", encoding="utf-8")  # the peak starts again from what is in use
    before = _status("VmRSS")
    task()
    return _status("VmHWM") - before


def _status(key: str) -> float:
    """A line of the process's status in MB."""
    line = next(
        line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{key}:")
    )
    return int(line.split()[1]) / 1024


def main(name: str, preset: str, size: str, stage: str, threads: str) -> None:
    """Measures in this process and prints MB."""
    from facesep.evaluation.bench import forms

    torch.set_num_threads(int(threads))
    sep = forms.random_model(forms.sized(preset, int(size)))
    (form,) = forms.build(sep, [name])
    image = torch.rand(1, 3, sep.image_size, sep.image_size)
    codes = forms.random_codes(1)
    with torch.no_grad():
        peak = added(lambda: form.encode(image) if stage == "encode" else form.render(codes))
    sys.stdout.write(f"{peak:.1f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
