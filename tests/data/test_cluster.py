"""Shards made on a Dask cluster: the same bytes, also when a worker is killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from test_restart import JOB, ROOT, contents
from test_shards import Drawings, write_portraits

from facesep.data import cluster
from facesep.data import prepare as preparing
from facesep.data.prepare import prepare
from facesep.errors import ConfigError, DataError


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_killed_worker_is_survived(tmp_path: Path):
    pytest.importorskip("distributed")
    from facesep.data.portraits import PortraitSource

    photos, out, address = tmp_path / "photos", tmp_path / "out", f"127.0.0.1:{free_port()}"
    write_portraits(photos, 40)
    prepare(PortraitSource(photos), tmp_path / "whole", 512, shard_samples=2, small=64)
    host, port = address.split(":")
    scheduler = ("-m", "distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-dashboard")
    worker = ("-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
    folder = ("--local-directory", str(tmp_path))
    words = ("portraits", str(photos), "--out", str(out), "--size", "512", "--small", "64")
    with ExitStack() as stack:
        stack.enter_context(running(*scheduler))
        workers = [stack.enter_context(running(*worker, *folder)) for _ in range(2)]
        cluster_ = ("--shard-samples", "2", "--cluster", f"tcp://{address}")
        command = stack.enter_context(running("train/prepare_data.py", *words, *cluster_))
        while not list(out.glob("*.done.json")):
            assert command.poll() is None, command.stderr.read()
            time.sleep(0.002)
        workers[0].kill()
        assert not (out / "index.json").exists()  # it was not too late
        assert command.wait(120) == 0, command.stderr.read()
        assert workers[1].poll() is None
    assert contents(out) == contents(tmp_path / "whole")


def test_what_a_cluster_needs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match="install the same versions"):
        cluster._run(print, None, None, {**cluster.versions(), "pillow": "0"})
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'facesep\[cluster\]'"):
        prepare(Drawings(14), tmp_path, **JOB, cluster="local")


@pytest.mark.slow
def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "JOINING", 1)
    with pytest.raises(ConfigError, match="no Dask scheduler with a worker answers"):
        prepare(Drawings(14), tmp_path, **JOB, cluster=f"tcp://127.0.0.1:{free_port()}")


def test_a_shard_that_stays_on_another_machine_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def elsewhere(work, source, jobs, address, workers, tell):
        records = {number: work(source, job, lambda: None) for number, job in jobs.items()}
        jobs[1].path.unlink()
        return records

    monkeypatch.setattr(preparing, "run_on_cluster", elsewhere)
    with pytest.raises(DataError, match="00001.tar, and it is not here: all machines must share"):
        prepare(Drawings(14), tmp_path, **JOB, cluster="somewhere")
    assert not (tmp_path / "index.json").exists()
