"""Who computes next. One computes at a time, so that it has all cores and the memory stays bounded.

Single pictures come first, and one frame of all videos together when it has waited for a second; visitors who
ask for much come in turn with those who ask for little.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from facesep.demo.computing import beside

PATIENCE = 1.0
"""Seconds by which a frame lets others go first, for each video whose frames wait."""
SHARE = 0.3
"""Seconds by which each further request of one visitor lets others go first: about what a picture takes."""


class Turns:
    """Gives turns to threads.

    Args:
        clock: seconds, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock, self._aside = threading.Lock(), threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, int, threading.Event]] = []
        self._holder: int | None = None
        self._asked: Counter[str] = Counter()
        self._pausing = 0

    @contextmanager
    def turn(self, visitor: str, on_wait: Callable[[int], object] = lambda _: None) -> Iterator[None]:
        """Waits for a turn, and ends it.

        Args:
            visitor: who asks.
            on_wait: called again and again with how many come first; it may raise to give up.
        """
        with self._lock:
            due = self._clock() + SHARE * self._asked[visitor]
            self._asked[visitor] += 1
        try:
            self._take(due, on_wait)
            try:
                yield
            finally:
                self._give()
        finally:
            with self._lock:
                self._asked[visitor] -= 1
                self._asked += Counter()  # forgets those who ask for nothing

    def pause(self) -> float:
        """Lets others go first, between two frames of a video; gives the seconds that it took."""
        start = self._clock()
        if self._holder == threading.get_ident():
            with self._lock:
                self._pausing += 1
                due = start + PATIENCE * self._pausing
            try:
                self._give()
                self._take(due)
            finally:
                with self._lock:
                    self._pausing -= 1
        return self._clock() - start

    @contextmanager
    def aside(self) -> Iterator[None]:
        """For what takes seconds and cannot pause: it goes on beside the turns of others, one at a time."""
        holds = self._holder == threading.get_ident()
        if holds:
            self._give()
        try:
            with self._aside, beside():
                yield
        finally:
            if holds:
                self._take(self._clock())

    def _take(self, due: float, on_wait: Callable[[int], object] = lambda _: None) -> None:
        me, granted = threading.get_ident(), threading.Event()
        with self._lock:
            if self._holder is None:
                self._holder = me
                return
            ticket = (due, next(self._numbers), me, granted)
            heapq.heappush(self._waiting, ticket)
        try:
            while not granted.wait(0.25):
                with self._lock:
                    first = sum(other < ticket for other in self._waiting)
                on_wait(first)
        except BaseException:
            with self._lock:
                if waits := ticket in self._waiting:
                    self._waiting.remove(ticket)
                    heapq.heapify(self._waiting)
            if not waits:
                self._give()
            raise

    def _give(self) -> None:
        with self._lock:
            self._holder = None
            if self._waiting:  # the turn passes on, it is never free between
                _, _, self._holder, granted = heapq.heappop(self._waiting)
                granted.set()
