"""The training script in two real processes: one set of weights from different photos, and it resumes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_data import write_tiny

pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

from facesep.refine import FaceRefiner

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("refiner_worker.py")
RUN = """
size: 32
estimator: {channels: 12, depths: [1], heads: 2, window: 2}
unet: {channels: [8, 8], layers: 1, attention: 1, head: 8, groups: 8}
levels: 100
start: 50
refine_steps: 2
steps: 4
batch_size: 2
log_every: 1
save_every: 2
bf16: false
"""


def launch(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--master_port", "0", "--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment |= {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, str(WORKER), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=500,
        env=environment,
    )


def records(folder: Path) -> list[dict]:
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_two_processes_train_one_refiner_and_resume(tmp_path):
    shards, _ = write_tiny(tmp_path)
    (tmp_path / "run.yaml").write_text(RUN)
    common = ("--config", tmp_path / "run.yaml", "--shards", shards)
    done = launch(*common, "--out", tmp_path / "whole")
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = records(tmp_path / "whole")
    assert one["world"] == two["world"] == 2 and one["skipped"] == two["skipped"] == 0
    for name in ("before", "weights", "average"):
        assert one[name] == two[name], name
    assert one["before"] != one["weights"] != one["average"]
    assert len(set(one["seen"] + two["seen"])) == 8  # four steps, and never the same batch
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "noise" in line] == [1, 2, 3, 4]  # one process writes it
    # A run that was stopped after two steps ends with the same numbers.
    middle = tmp_path / "whole" / "checkpoints" / "00000002"
    done = launch(*common, "--out", tmp_path / "later", "--resume_from_checkpoint", middle)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank, (whole, later) in enumerate(zip((one, two), records(tmp_path / "later"), strict=True)):
        assert later["seen"] == whole["seen"][2:], rank
        assert later["weights"] == whole["weights"] and later["average"] == whole["average"]
    refiner = FaceRefiner.from_pretrained(tmp_path / "later" / "refiner")
    assert refiner.config.start == 50
