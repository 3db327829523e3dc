"""Reading weight files of other projects safely, and comparing them with what a network needs."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from facesep.errors import CheckpointError

State = dict[str, Tensor]

SAFE_WAY = (
    "facesep only reads plain tensors, because a pickle can run any program. If you trust its authors, "
    "convert it once where nothing can be lost (a container without network and without your files): "
    "torch.load(FILE, weights_only=False), take the dictionary of tensors out of it, "
    "safetensors.torch.save_file(TENSORS, 'weights.safetensors'), and import that file"
)


@dataclass
class Imported:
    """One network from one file.

    Attributes:
        network: its name in facesep, such as ``adaface-ir50``.
        state: its weights under facesep's keys, float32.
        notes: what was left out or changed, in words.
    """

    network: str
    state: State
    notes: list[str] = field(default_factory=list)


def read(path: str | Path) -> Any:
    """Reads a ``.safetensors`` file or a pickle of plain tensors and containers.

    Returns:
        Whatever the file holds, usually nested dictionaries of tensors, on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged or holds more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}: check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(str(path))
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"(?:GLOBAL|global) (\S+)", str(error))
        if unsafe is None:
            raise CheckpointError(f"{path} is damaged or no weight file: check what it is") from error
        raise CheckpointError(f"{path} holds more than tensors ({unsafe[1]}). {SAFE_WAY}") from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged or no weight file: download it again ({error})") from error


def tensors(tree: Any, *names: str) -> State:
    """The dictionary of tensors in a file, at the top or under one of the given names.

    Returns:
        Key to tensor; empty if there is none.
    """
    if not isinstance(tree, Mapping):
        return {}
    for name in names:
        if isinstance(tree.get(name), Mapping):
            return tensors(tree[name], *names)
    return {key: value for key, value in tree.items() if isinstance(key, str) and isinstance(value, Tensor)}


def unwrapped(state: State, marker: str) -> tuple[State, str | None, list[str]]:
    """Takes off what wrappers put before the keys (``module.``, ``model.``).

    Args:
        state: the tensors of a file.
        marker: a key that the network itself always has.

    Returns:
        ``(network, prefix, others)``: the tensors below the prefix, the prefix (None if the marker is
        nowhere), and the keys that are not below it.
    """
    found = [key for key in state if key == marker or key.endswith("." + marker)]
    if not found:
        return {}, None, sorted(state)
    prefix = min(found, key=len).removesuffix(marker)
    inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return inside, prefix, sorted(key for key in state if not key.startswith(prefix))


def checked(path: str | Path, state: State, table: Mapping[str, Tensor], what: str) -> State:
    """Compares tensors with the table of a network.

    Args:
        path: the file, for messages.
        state: the tensors found, already under the network's keys.
        table: the network's own state dict (on any device; only names and shapes count). Counters of
            batch norms may be missing in the file.
        what: the network, for messages.

    Returns:
        The tensors in the table's order, float32.

    Raises:
        CheckpointError: naming what is missing, unexpected, of another shape or not finite.
    """
    optional = {key for key in table if key.endswith("num_batches_tracked")}
    missing = sorted(set(table) - set(state) - optional)
    unexpected = sorted(set(state) - set(table))
    shapes = [
        f"{key} is {list(state[key].shape)} instead of {list(expected.shape)}"
        for key, expected in table.items()
        if key in state and state[key].shape != expected.shape
    ]
    problems = [
        f"{label} {', '.join(keys[:4])}" + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
        for label, keys in (("missing:", missing), ("unexpected:", unexpected), ("other shapes:", shapes))
        if keys
    ]
    if problems:
        raise CheckpointError(f"{path} is not {what}; " + "; ".join(problems))
    result = {}
    for key, expected in table.items():
        value = state.get(key, torch.zeros(expected.shape, dtype=torch.int64))
        if expected.is_floating_point():
            value = value.float()
            if not value.isfinite().all():
                raise CheckpointError(f"{path} holds values that are not finite in {key}: download it again")
        result[key] = value
    return result
