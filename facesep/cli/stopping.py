"""Ends that come from outside."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = ("SIGTERM", "SIGHUP")


class Stopped(BaseException):
    """A signal asked the command to end.

    Attributes:
        signal: its number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


@contextlib.contextmanager
def orderly() -> Iterator[None]:
    """Lets signals end the work as Ctrl-C does, so that half-written files are deleted on the way.

    Signals that are ignored (``nohup``) or handled already stay as they are.

    Raises:
        Stopped: when one comes.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    changed = {}
    if threading.current_thread() is threading.main_thread():
        for name in SIGNALS:
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                changed[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)
