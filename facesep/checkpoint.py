"""The checkpoint folder: written whole or not at all, read strictly.

::

    config.json  <part>/model.safetensors ...  checksums.json  train_config.json  eval.json  README.md

``config.json`` carries ``format`` and ``facesep_version``; for ``checksums.json`` see
``facesep.checksums``. Nothing here unpickles, and nothing is loaded that is not exactly what the
network expects: every deviation is a ``facesep.errors.CheckpointError`` naming file and key.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import facesep
from facesep.checksums import (
    CHECKSUMS,
    MAX_JSON_BYTES,
    verified,
    verify_files,
    verify_part,
    write_checksums,
)
from facesep.errors import CheckpointError, ConfigError

FORMAT = 1
CONFIG, CARD, WEIGHTS = "config.json", "README.md", "model.safetensors"
DESCRIPTIONS = ("train_config.json", "eval.json", "moves.json")
"""JSON files that describe the weights beside them and go when the weights are replaced."""

_FLOATS = ("F64", "F32", "F16", "BF16")
_WHOLE = {torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}


# -- writing ----------------------------------------------------------------------------------------


def write_checkpoint(
    folder: str | Path,
    config: Mapping,
    parts: Mapping[str, Mapping[str, Tensor]],
    extra_json: Mapping[str, Mapping] | None = None,
    card: str | None = None,
    *,
    dtype: torch.dtype | None = None,
    add: Callable[[Path], None] | None = None,
) -> Path:
    """Writes a checkpoint beside ``folder`` and then puts it in its place.

    An older checkpoint in ``folder`` is replaced in one step; its files that this one does not write
    (a licence, a refiner) stay, apart from ``DESCRIPTIONS``. A failure leaves it untouched.

    Args:
        folder: a new or empty folder, or one that holds a checkpoint.
        config: the configuration, JSON data; ``format`` and ``facesep_version`` are added.
        parts: state dicts by name; ``{"encoder": ...}`` becomes ``encoder/model.safetensors``.
        extra_json: more JSON files by name, such as ``{"train_config.json": {...}}``; the suffix may be
            left out.
        card: text of ``README.md``.
        dtype: float type to store, otherwise as given.
        add: called with the folder under construction to add further files, before checksums.

    Returns:
        The folder.

    Raises:
        ConfigError: if the folder holds something that is not a checkpoint.
        CheckpointError: for weights that are not finite, or if the disk refuses.
    """
    folder = Path(folder).resolve()
    _check_replaceable(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    except OSError as error:
        raise CheckpointError(f"cannot write beside {folder} ({error}): choose another folder") from error
    try:
        staging.chmod(0o755)  # mkdtemp makes private folders; a checkpoint is read by others
        head = {"format": FORMAT, "facesep_version": facesep.__version__}
        _write_json(staging / CONFIG, head | dict(config))
        for name, value in (extra_json or {}).items():
            _write_json(staging / (name if name.endswith(".json") else f"{name}.json"), value)
        for part, tensors in parts.items():
            _write_weights(staging / part / WEIGHTS, tensors, dtype)
        if card is not None:
            (staging / CARD).write_text(card, encoding="utf-8")
        if add is not None:
            add(staging)
        _keep_other_files(folder, staging)
        write_checksums(staging)
        _swap(staging, folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write the checkpoint {folder}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def add_part(
    folder: str | Path, part: str, tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None
) -> None:
    """Adds or replaces the weights of one network in a checkpoint.

    Args:
        folder: an existing checkpoint.
        part: name of the network.
        tensors: its state dict.
        dtype: float type to store, otherwise as given.

    Raises:
        CheckpointError: if there is no checkpoint, for weights that are not finite, or if the disk refuses.
    """
    folder = Path(folder)
    read_config(folder)
    try:
        _write_weights(folder / part / WEIGHTS, tensors, dtype)
        write_checksums(folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write to the checkpoint {folder}: {error}") from error


def add_json(folder: str | Path, name: str, value: Mapping) -> None:
    """Adds or replaces a JSON file of a checkpoint.

    Raises:
        CheckpointError: if there is no checkpoint, for values that are no JSON, or if the disk refuses.
    """
    folder = Path(folder)
    read_config(folder)
    try:
        _write_json(folder / name, value)
        write_checksums(folder)
    except OSError as error:
        raise CheckpointError(f"cannot write to the checkpoint {folder}: {error}") from error


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: choose a folder")
    used = folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())
    if used and not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder} holds other files and no checkpoint: choose a new or empty folder")


def _write_json(path: Path, value: Mapping) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        text = json.dumps(value, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name} cannot be written as JSON: {error}") from error
    path.write_text(text + "\n", encoding="utf-8")


def _write_weights(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {}
    for key, tensor in tensors.items():
        target = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        stored[key] = tensor.detach().to("cpu", target, copy=True).contiguous()
    _check_finite(stored, f"{path.parent.name} as {dtype}" if dtype else path.parent.name)
    save_file(stored, str(path), metadata={"format": "pt"})
    path.chmod(0o644)


def _keep_other_files(old: Path, staging: Path) -> None:
    """Carries over what the older checkpoint has and the new one does not replace."""
    for path in sorted(old.rglob("*")) if old.is_dir() else []:
        name = path.relative_to(old)
        target = staging / name
        ours = str(name) in (CHECKSUMS, *DESCRIPTIONS)
        if ours or path.is_dir() or path.is_symlink() or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)  # one content under two names: nothing writes to it from here on
        except OSError:  # another file system, or one without hard links
            shutil.copy2(path, target)


def _swap(staging: Path, folder: Path) -> None:
    """Puts ``staging`` in the place of ``folder``."""
    for path in staging.rglob("*"):
        if path.is_file():
            _flush(path)
    if not folder.exists():
        os.rename(staging, folder)
        return
    old = Path(f"{staging}.old")
    os.rename(folder, old)
    try:
        os.rename(staging, folder)
    except OSError:
        os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    """Waits until a file's bytes are on the disk, so that the rename cannot overtake them."""
    try:
        handle = os.open(path, os.O_RDWR)
    except PermissionError:  # a read-only file carried over from before
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- reading ----------------------------------------------------------------------------------------


def read_config(folder: str | Path) -> dict:
    """Reads and checks ``config.json``.

    Raises:
        CheckpointError: if it is missing, damaged, changed, or of an unknown or newer format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"there is no checkpoint folder {folder}: check the path")
    config = read_json(folder, CONFIG)
    version = config.get("format")
    if type(version) is not int or version < 1:
        raise CheckpointError(f"{folder / CONFIG} is not a facesep configuration (format {version!r})")
    if version > FORMAT:
        made_by = str(config.get("facesep_version"))[:40]
        raise CheckpointError(
            f"{folder / CONFIG} has format {version}, made by facesep {made_by}; this is facesep "
            f"{facesep.__version__}, which reads up to {FORMAT}: upgrade facesep"
        )
    return config


def read_json(folder: str | Path, name: str) -> dict:
    """Reads a JSON file of a checkpoint after checking its sha256.

    Raises:
        CheckpointError: if it is missing, damaged or changed.
    """
    path = verified(Path(folder), name)
    try:
        value = (
            json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= MAX_JSON_BYTES else None
        )
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is not a JSON object of reasonable size")
    return value


def read_part(
    folder: str | Path, part: str, expected: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Reads ``<part>/model.safetensors`` for a network.

    Args:
        folder: the checkpoint.
        part: name of the network, such as ``encoder``.
        expected: the network's state dict; its keys and shapes must be met exactly (meta tensors do).
        dtype: float type of the result, whatever is stored.

    Returns:
        Tensors by key, on the CPU, ready for ``load_state_dict(..., strict=True)``.

    Raises:
        CheckpointError: if the file is missing, a pickle, changed, cut short or outside the folder, or
            if a key is missing, unexpected, of another shape or type, or not finite.
    """
    name = f"{part}/{WEIGHTS}"
    path = verified(Path(folder), name)
    try:
        with safe_open(str(path), framework="pt") as file:
            found = set(file.keys())
            _compare_keys(name, found, set(expected))
            for key, tensor in expected.items():
                _compare(name, key, file.get_slice(key), tensor)
            tensors = {key: file.get_tensor(key) for key in expected}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): download or copy it again") from error
    for key, tensor in expected.items():
        tensors[key] = tensors[key].to(dtype if tensor.is_floating_point() else tensor.dtype)
    _check_finite(tensors, name)
    return tensors


def verify_checkpoint(folder: str | Path) -> None:
    """Checks the format and every sha256 of a checkpoint without loading it.

    Raises:
        CheckpointError: for the first file that is missing or changed.
    """
    read_config(folder)
    verify_files(folder)


def copy_part(folder: str | Path, part: str, target: Path) -> None:
    """Copies the verified files of a subfolder of a checkpoint into another one's ``target``."""
    for name in verify_part(folder, part):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(folder) / name, target / name)


def _compare_keys(name: str, found: set[str], expected: set[str]) -> None:
    for problem, keys in (("misses", expected - found), ("has unexpected", found - expected)):
        if keys:
            some, more = sorted(keys)[:5], len(keys) - 5
            listed = ", ".join(some) + (f" and {more} more" if more > 0 else "")
            raise CheckpointError(f"{name} {problem} {listed}: it was made for another configuration")


class _Stored(Protocol):
    """A tensor in a file, of which only the header was read."""

    def get_shape(self) -> list[int]: ...

    def get_dtype(self) -> str: ...


def _compare(name: str, key: str, found: _Stored, expected: Tensor) -> None:
    """Compares shape and type of a stored tensor, read from the file's header alone."""
    shape, kind = list(found.get_shape()), found.get_dtype()
    if shape != list(expected.shape):
        raise CheckpointError(f"{name}: {key} has shape {shape}, expected {list(expected.shape)}")
    allowed = _FLOATS if expected.is_floating_point() else (_WHOLE.get(expected.dtype),)
    if kind not in allowed:
        raise CheckpointError(f"{name}: {key} holds {kind}, expected {expected.dtype}")


def _check_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{name}: {key} holds values that are not finite")
