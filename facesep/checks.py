"""Arguments of another kind or out of range become errors that say what to give."""

from __future__ import annotations

import math
import os
from numbers import Integral, Real
from pathlib import Path

from facesep.errors import ConfigError, FaceSepError


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
    """A whole number from ``low`` to ``high``, or of any size; see :func:`number`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= (high or math.inf):
        limits = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise error(f"{name} must be a whole number {limits}, got {shown(value)}")
    return int(value)


def flag(value: object, name: str) -> bool:
    """True or False.

    Raises:
        ConfigError: for anything else: ``"no"`` would count as yes.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, got {shown(value)}")
    return value


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
    if isinstance(value, str | bytes | int | float | bool | type(None)):
        text = repr(value[:60]) if isinstance(value, str | bytes) else repr(value)
        return text if len(text) <= 80 else f"{text[:80]}..."
    return f"a {type(value).__name__}"
