"""Two real processes: same weights, codes that stay where they belong, one veto for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_data import write_tiny

from facesep.training.checkpoint import checkpoints
from facesep.training.codebook import CodeBook

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("distributed_worker.py")


def launch(processes: int, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    command += ["--master_port", "0", "--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    environment |= {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, str(WORKER), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    """7 training photos for two processes: one owns 4, the other 3, and neither waits forever."""
    shards, labels = write_tiny(tmp_path, count=8)
    done = launch(2, shards, labels, tmp_path / "run")
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads((tmp_path / "run" / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert [one["world"] for one in found] == [2, 2]
    assert found[0]["digests"] == found[1]["digests"] and len(found[0]["digests"]) == 3
    assert len(set(found[0]["digests"])) == 3  # they moved in every phase
    assert found[0]["rows"] == [0, 1, 4, 5, 8, 9, 12, 13] and found[1]["rows"] == [2, 3, 6, 7, 10, 11]
    assert found[0]["data_seen"] and not set(found[0]["data_seen"]) & set(found[1]["data_seen"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(line["processes"] == 2 for line in lines)
    # One process goes on with what two have saved.
    parts = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1].glob("state/codebook-*")
    book = CodeBook(tmp_path / "one", 7, 2)
    book.load(sorted(parts))
    codes = book.read(torch.arange(14)).vector()
    for one in found:
        for row, total in zip(one["rows"], one["sums"], strict=True):
            assert float(codes[row].double().sum()) == pytest.approx(total, abs=1e-9)


@pytest.mark.slow
def test_two_processes_go_on_where_two_have_stopped(tmp_path):
    """To the same bits of weights and codes as without the stop."""
    shards, labels = write_tiny(tmp_path, count=8)
    whole = launch(2, shards, labels, tmp_path / "run")
    assert whole.returncode == 0, whole.stderr[-3000:]
    earlier, _ = checkpoints(tmp_path / "run" / "checkpoints")
    rest = launch(2, shards, labels, tmp_path / "rest", "--resume", earlier)
    assert rest.returncode == 0, rest.stderr[-3000:]
    for rank in range(2):
        one, two = (json.loads((tmp_path / run / f"rank{rank}.json").read_text()) for run in ("run", "rest"))
        assert two["digests"] == one["digests"][-1:] and two["sums"] == one["sums"]
        assert 0 < two["steps"] < one["steps"]


@pytest.mark.slow
def test_the_nan_of_one_process_stops_the_step_of_all(tmp_path):
    shards, labels = write_tiny(tmp_path, count=8)
    done = launch(2, shards, labels, tmp_path / "run", "--nan-rank", 1)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads((tmp_path / "run" / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert found[0]["skipped"] == found[1]["skipped"] == found[0]["steps"] > 0
    assert found[0]["digests"][0] == found[0]["before"] == found[1]["before"]
    assert found[0]["sums"] == found[0]["sums_before"]


@pytest.mark.slow
def test_gradients_of_two_processes_are_those_of_one_with_their_photos(tmp_path):
    shards, labels = write_tiny(tmp_path, count=5)
    for processes in (1, 2):
        done = launch(processes, shards, labels, tmp_path / f"run{processes}", "--plain")
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (
        json.loads((tmp_path / f"run{count}" / "rank0.json").read_text())["weights"] for count in (1, 2)
    )
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
