"""A progress line whose estimate counts only work that was done now."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

WINDOW = 120.0
"""Seconds over which the speed is measured: photos of one part may be slower than those of another."""
LEAST_SECONDS, LEAST_DONE = 5.0, 10
"""No estimate before so much has been seen."""


class ProgressLine:
    """Prints ``done/total``, the speed and the time that is left.

    The first call only sets the mark: what was finished by earlier runs took no time now and does not make
    the estimate shorter than it is.

    Args:
        what: what is counted.
        stream: where to print; a terminal gets one line that moves, a file a line now and then.
        clock: seconds.
    """

    def __init__(
        self,
        what: str = "photos",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.stream, self.clock = what, stream or sys.stderr, clock
        self.moving = self.stream.isatty()
        self.every = 0.5 if self.moving else 30.0
        self.seen: deque[tuple[float, int]] = deque()
        self.printed = -float("inf")

    def __call__(self, done: int, total: int) -> None:
        """Takes note and prints, unless it did a moment ago."""
        now = self.clock()
        self.seen.append((now, done))
        while len(self.seen) > 2 and now - self.seen[1][0] > WINDOW:
            self.seen.popleft()
        if now - self.printed < self.every and done < total:
            return
        self.printed = now
        line = f"{done}/{total} {self.what}"
        speed = self.speed()
        if speed and done < total:
            line += f", {speed:.1f} a second, {duration((total - done) / speed)} left"
        self.stream.write(f"\r{line:<78}" + ("\n" if done >= total else "") if self.moving else line + "\n")
        self.stream.flush()

    def speed(self) -> float | None:
        """Things a second of late; None while it is too early to say."""
        (first, before), (last, after) = self.seen[0], self.seen[-1]
        if last - first < LEAST_SECONDS or after - before < LEAST_DONE:
            return None
        return (after - before) / (last - first)


def duration(seconds: float) -> str:
    """Seconds as people say them, rounded to what an estimate is worth."""
    if seconds < 90:
        return f"about {max(round(seconds / 5) * 5, 5)} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 600) * 10, 60)
    return f"about {hours} h {minutes} min"
