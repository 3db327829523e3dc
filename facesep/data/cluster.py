"""Runs jobs on the machines of a Dask cluster; see ``facesep.data.workers`` for processes of this machine."""

from __future__ import annotations

import logging
import platform
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import PIL
import torch

import facesep
from facesep.data.workers import Work
from facesep.errors import ConfigError, DataError

LOCAL = "local"
"""In place of an address: a cluster of this machine's processes, for a try."""
JOINING = 60
"""Seconds to wait for the scheduler and for the first of its workers."""
_alone = threading.Lock()


def run_on_cluster(
    work: Work, shared: Any, jobs: dict[int, Any], address: str, workers: int, tell: Callable[[int], None]
) -> dict[int, Any]:
    """Runs all jobs on a Dask cluster and returns their results by number.

    Each job computes with one thread, one at a time in each worker, so that results do not depend on the
    cluster. Jobs of a worker that is lost go to another one; workers may join and leave at any time.

    Args:
        work: importable function; its ``tick`` does nothing here.
        shared: sent to every worker.
        jobs: by number.
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``, or ``local``.
        workers: processes of a local cluster.
        tell: called with the number of each job that has ended.

    Raises:
        ConfigError: if Dask is not installed, nobody answers, or the workers' packages are other ones.
        DataError: if a job ended several workers.
    """
    try:
        from distributed import Client, KilledWorker, LocalCluster, as_completed
    except ImportError as error:
        raise ConfigError("a cluster needs Dask: pip install 'facesep[cluster]'") from error
    results = {}
    with ExitStack() as stack:
        where: Any = address
        if address == LOCAL:
            options = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": 0}
            cluster = LocalCluster(dashboard_address=None, silence_logs=logging.ERROR, **options)
            where = stack.enter_context(cluster)
        try:
            client = stack.enter_context(Client(where, timeout=JOINING))
            client.wait_for_workers(1, timeout=JOINING)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"no Dask scheduler with a worker answers at {address}: start `dask scheduler` on one "
                "machine and `dask worker ADDRESS --nthreads 1` on each"
            ) from error
        common = client.scatter(shared, hash=False, broadcast=True)
        numbers = {
            client.submit(_run, work, common, job, versions(), pure=False, key=f"facesep-{number}"): number
            for number, job in jobs.items()
        }
        try:
            for future in as_completed(numbers):
                number = numbers[future]
                results[number] = future.result()
                tell(number)
        except KilledWorker as error:
            raise DataError(
                "a job ended several workers, perhaps for lack of memory: start again with larger or fewer "
                "workers; finished shards are kept"
            ) from error
        finally:
            client.cancel(list(numbers))
    return results


def versions() -> dict[str, str]:
    """What the bytes of results depend on besides the photos."""
    found = {"facesep": facesep, "numpy": np, "pillow": PIL, "torch": torch}
    return {"python": platform.python_version(), **{name: one.__version__ for name, one in found.items()}}


def _run(work: Work, shared: Any, job: Any, expected: dict[str, str]) -> Any:
    """One job, on a worker."""
    own = versions()
    if own != expected:
        raise ConfigError(
            f"the worker on {platform.node()} has {own}, but the command was started with {expected}: "
            "results would differ; install the same versions"
        )
    with _alone:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return work(shared, job, lambda: None)
        finally:
            torch.set_num_threads(threads)
