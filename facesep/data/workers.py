"""Runs jobs in worker processes that stop with their parent, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from facesep.errors import DataError

Work = Callable[[Any, Any, Callable[[], None]], Any]
"""``work(shared, job, tick)`` returns the job's result and calls ``tick`` after each of its items."""

_worker: dict[str, Any] = {}


class StoppedError(Exception):
    """Ends a job whose parent wants to stop."""


def run_jobs(
    work: Work, shared: Any, jobs: dict[int, Any], workers: int, tell: Callable[[int], None]
) -> dict[int, Any]:
    """Runs all jobs and returns their results by number.

    Each process computes with one thread, so that results do not depend on the number of processes.

    Args:
        work: importable function.
        shared: sent to every process once.
        jobs: by number.
        workers: processes; with 1 the jobs run in this one.
        tell: called now and then with the number of items done.

    Raises:
        DataError: if a process died.
    """
    if workers == 1:
        return _run_here(work, shared, jobs, tell)
    context = multiprocessing.get_context("spawn")
    count, stop = context.Value("q", 0), context.Event()
    results = {}
    start = (work, shared, count, stop)
    with ProcessPoolExecutor(workers, context, _begin, start) as pool:
        numbers = {pool.submit(_run_one, job): number for number, job in jobs.items()}
        waiting = set(numbers)
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    results[numbers[future]] = future.result()
                tell(count.value)
        except BaseException as error:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise DataError(
                    "a worker process died, perhaps for lack of memory: start again with fewer workers; "
                    "finished shards are kept"
                ) from error
            raise
    return results


def _run_here(work: Work, shared: Any, jobs: dict[int, Any], tell: Callable[[int], None]) -> dict[int, Any]:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        tell(done)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {number: work(shared, job, tick) for number, job in jobs.items()}
    finally:
        torch.set_num_threads(threads)


def _begin(work: Work, shared: Any, count: Any, stop: Any) -> None:
    """Prepares a worker process: one thread, deaf to Ctrl-C (the parent stops it), gone with its parent."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _worker.update(work=work, shared=shared, count=count, stop=stop)


def _leave_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _run_one(job: Any) -> Any:
    return _worker["work"](_worker["shared"], job, _tick)


def _tick() -> None:
    with _worker["count"].get_lock():
        _worker["count"].value += 1
    if _worker["stop"].is_set():
        raise StoppedError
