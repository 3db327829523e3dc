"""Where a training run stands, in one safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn


def save_state(
    path: Path, step: int, model: nn.Module, slow: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Writes weights, averaged weights and the optimiser's moments; the old file stays until then.

    Args:
        path: of the file.
        step: batches done.
        model: the network in training.
        slow: the running average of its weights.
        optimiser: of ``model``.
    """
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"slow.{key}": value for key, value in slow.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items()}
    partial = path.with_suffix(".partial")
    save_file({key: value.contiguous() for key, value in tensors.items()}, partial, {"step": str(step)})
    os.replace(partial, path)


def load_state(path: Path, model: nn.Module, slow: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Reads what :func:`save_state` wrote, in place, and returns the step; 0 if there is no file."""
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
    tensors = load_file(path)

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}

    model.load_state_dict(part("model."))
    slow.load_state_dict(part("slow."))
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in part("optimiser.").items():
        index, name = key.split(".")
        moments.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return step
