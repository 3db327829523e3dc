"""Where a result comes from: the command, the commit of the code, versions of packages, the hardware."""

from __future__ import annotations

import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import torch

import facesep

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "lpips", "dlib-bin", "accelerate", "av")
"""Packages that numbers depend on."""


def command(arguments: Sequence[str]) -> str:
    """The command line; absolute paths are shown by their last part, they say nothing to others."""
    script, *rest = arguments
    script = "/".join(Path(script).resolve().parts[-2:])
    return shlex.join(["python", script, *map(without_folders, rest)])


def without_folders(argument: str) -> str:
    """An argument without folders of absolute paths, also in ``NAME=PATH`` and in commands."""
    words = []
    for word in argument.split(" "):
        name, separator, value = word.rpartition("=")
        words.append(f"{name}{separator}{Path(value).name}" if os.path.isabs(value) else word)
    return " ".join(words)


def commit() -> str | None:
    """Commit of the code, with ``+changes`` if it was changed since; None outside a git checkout."""
    root = Path(facesep.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "facesep", "eval")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head[:12] + ("+changes" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    run = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python, facesep and the packages that numbers depend on."""
    found = {"python": platform.python_version(), "facesep": facesep.__version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> float:
    """The most memory that this process has had, in bytes; NaN on Windows, where it is not told."""
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def hardware(device: str = "cpu") -> str:
    """The machine in general words: cores and threads, and the accelerator if one was used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = torch.get_num_threads()
    text = f"{cores} CPU cores ({platform.machine()}), {threads} thread{'s' * (threads > 1)}"
    if torch.device(device).type == "cuda":
        text = f"{torch.cuda.get_device_name(device)}, {text}"
    return text
