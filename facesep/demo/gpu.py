"""Spaces that lend a GPU for one call at a time (ZeroGPU): what computes is marked for them.

Elsewhere nothing changes. There, a marked function runs in another process, made as a copy of this one: its
arguments and its result travel, so the model is named rather than sent, and what it changes in memory is
lost. Marked functions are therefore pure: a model, codes and numbers in, codes or pictures out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

SECONDS = 60
"""Longest time for which one call asks for the GPU."""

_models: dict[int, Any] = {}


def remember(model: Any) -> None:
    """Makes a model known by name to processes that are made from now on."""
    _models[id(model)] = model


def on_gpu(function: Callable, seconds: int = SECONDS) -> Callable:
    """Marks a function, or generator function, whose first argument is the model."""
    try:
        import spaces
    except ImportError:
        return function

    if inspect.isgeneratorfunction(function):

        def run(name: int, *args: Any, **kwargs: Any) -> Iterator[Any]:
            yield from function(_models[name], *args, **kwargs)
    else:

        def run(name: int, *args: Any, **kwargs: Any) -> Any:
            return function(_models[name], *args, **kwargs)

    lent = spaces.GPU(duration=seconds)(run)

    @functools.wraps(function)
    def wrapper(model: Any, *args: Any, **kwargs: Any) -> Any:
        remember(model)
        return lent(id(model), *args, **kwargs)

    return wrapper
