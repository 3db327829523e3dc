"""One thread computes for all visitors.

OpenMP gives every thread that computes a team of threads of its own, for as long as it lives. With more of
them than there are cores they no longer wait for one another by spinning, and a picture takes 1.6 times as
long. The page's requests come in many threads; what computes is therefore handed to one.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

_local = threading.local()


def _begin() -> None:
    _local.computes = True


_thread = ThreadPoolExecutor(1, "facesep-compute", _begin)


def compute(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """Calls a function in the thread that computes, or here where that is this one."""
    if getattr(_local, "computes", False):
        return function(*args, **kwargs)
    return _thread.submit(contextvars.copy_context().run, function, *args, **kwargs).result()


def computed(function: Callable) -> Callable:
    """Lets a function, or each step of a generator function, run in the thread that computes."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return compute(function, *args, **kwargs)

    @functools.wraps(function)
    def stepped(*args: Any, **kwargs: Any) -> Iterator[Any]:
        steps, end = compute(function, *args, **kwargs), object()
        try:
            while (one := compute(next, steps, end)) is not end:
                yield one
        finally:
            compute(steps.close)

    return stepped if inspect.isgeneratorfunction(function) else called


@contextmanager
def beside() -> Iterator[None]:
    """For what takes seconds and would hold others up: all of it is computed in the present thread."""
    before, _local.computes = getattr(_local, "computes", False), True
    try:
        yield
    finally:
        _local.computes = before
