"""Arguments of another kind or out of range become errors that say what to give."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

from facesep.errors import ConfigError, FaceSepError

if TYPE_CHECKING:
    import torch

FLOAT_TYPES = ("float32", "bfloat16", "float16", "float64")


def number(
    value: object, name: str, low: float, high: float, error: type[FaceSepError] = ConfigError, unit: str = ""
) -> float:
    """A number from ``low`` to ``high``.

    Args:
        value: what was given.
        name: the argument, for the message.
        low: least value.
        high: largest value.
        error: what to raise.
        unit: such as ``degrees``, for the message.

    Raises:
        FaceSepError: of the kind ``error``, for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= value <= high:
        unit = unit and f" {unit}"
        raise error(f"{name} must be a number from {low:g} to {high:g}{unit}, got {shown(value)}")
    return float(value)


def whole(
    value: object, name: str, low: int, high: int | None, error: type[FaceSepError] = ConfigError
) -> int:
    """A whole number from ``low`` to ``high``, or of any size; see ``number``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= (high or math.inf):
        limits = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise error(f"{name} must be a whole number {limits}, got {shown(value)}")
    return int(value)


def choice(value: object, name: str, options: Sequence[str]) -> str:
    """One of several words.

    Raises:
        ConfigError: for anything else.
    """
    if not isinstance(value, str) or value not in options:
        raise ConfigError(f"{name} must be one of {', '.join(options)}, got {shown(value)}")
    return value


def flag(value: object, name: str) -> bool:
    """True or False.

    Raises:
        ConfigError: for anything else: ``"no"`` would count as yes.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, got {shown(value)}")
    return value


def float_type(value: object) -> torch.dtype:
    """A type that networks can compute in, of torch or by its name.

    Raises:
        ConfigError: for anything else.
    """
    import torch

    name = str(value).removeprefix("torch.") if isinstance(value, str | torch.dtype) else None
    if name not in FLOAT_TYPES:
        got = value if isinstance(value, torch.dtype) else shown(value)
        raise ConfigError(f"dtype must be a floating-point type, {' or '.join(FLOAT_TYPES)}, got {got}")
    return getattr(torch, name)


def device(value: object) -> torch.device:
    """Where something can be computed; whether it is there shows when something is moved to it.

    Raises:
        ConfigError: for anything else.
    """
    import torch

    try:
        found = torch.device(value) if isinstance(value, str | int | torch.device) else None
    except (RuntimeError, TypeError, OverflowError):
        found = None
    if found is None:
        raise ConfigError(f"device must be one such as 'cpu' or 'cuda', got {shown(value)}")
    return found


def path(value: object, name: str, error: type[FaceSepError] = ConfigError) -> Path:
    """A path that an operating system can take.

    Raises:
        FaceSepError: of the kind ``error``, for something that is no path.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise error(f"{name} must be a path, got {shown(value)}")
    return Path(text)


def shown(value: object) -> str:
    """A value for a message: short, and only its kind where it may be long."""
    if isinstance(value, str | bytes):
        return repr(value if len(value) <= 60 else value[:60])
    plain = isinstance(value, float | type(None)) or (isinstance(value, int) and abs(value) < 10**18)
    return repr(value) if plain else f"a value of the kind {type(value).__name__}"
