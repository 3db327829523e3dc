"""Timing in interleaved rounds: each round runs every task once, so a busy moment falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch

Key = TypeVar("Key", bound=Hashable)
Task = Callable[[], object]
OnRound = Callable[[int], object] | None

MATMUL = 1024
"""Side of the square matrices whose product measures the machine."""
MATMUL_PRODUCTS = 2


@dataclass
class Timing:
    """Seconds of one task in each round.

    Attributes:
        wall: elapsed seconds.
        cpu: processor seconds of all threads.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def least(self) -> float:
        """Elapsed seconds of the fastest round."""
        return min(self.wall)

    @property
    def median(self) -> float:
        """Median of the elapsed seconds."""
        return statistics.median(self.wall)

    def __add__(self, other: Timing) -> Timing:
        """Two tasks one after the other, round by round."""
        wall = [a + b for a, b in zip(self.wall, other.wall, strict=True)]
        return Timing(wall, [a + b for a, b in zip(self.cpu, other.cpu, strict=True)])


def time_rounds(
    tasks: Mapping[Key, Task], repeats: int, device: str | torch.device, on_round: OnRound = None
) -> dict[Key, Timing]:
    """Runs every task once in each round and takes its time.

    Args:
        tasks: what is timed; a task that returns a float has measured its elapsed seconds itself.
        repeats: number of rounds.
        device: where the tasks compute; a GPU is waited for before and after each.
        on_round: called with the number of rounds done.
    """
    device = torch.device(device)
    timings = {key: Timing() for key in tasks}
    for done in range(1, repeats + 1):
        for key, task in tasks.items():
            wait(device)
            wall, cpu = time.perf_counter(), time.process_time()
            result = task()
            wait(device)
            elapsed = time.perf_counter() - wall
            timings[key].wall.append(result if isinstance(result, float) else elapsed)
            timings[key].cpu.append(time.process_time() - cpu)
        if on_round:
            on_round(done)
    return timings


def warm_up(tasks: Iterable[Task], device: str | torch.device) -> None:
    """Runs tasks once: the first call plans, compiles or allocates."""
    for task in tasks:
        task()
    wait(torch.device(device))


def wait(device: torch.device) -> None:
    """Returns when the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul(dtype: torch.dtype, device: str | torch.device) -> Task:
    """A few matrix products, whose rate says how fast the machine is meanwhile; warmed up."""
    matrix = torch.randn(MATMUL, MATMUL, device=device).to(dtype)

    def products() -> None:
        for _ in range(MATMUL_PRODUCTS):
            matrix @ matrix

    warm_up([products], device)
    return products


def gflops(seconds: float) -> float:
    """GFLOP/s of ``matmul`` that took so many seconds."""
    return 2e-9 * MATMUL_PRODUCTS * MATMUL**3 / seconds
