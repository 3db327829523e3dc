"""Real processes that are killed, resumed, and end with the bits of a run that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open
from tiny_data import write_tiny

from facesep.checkpoint import verify_checkpoint
from facesep.checksums import sha256
from facesep.training.checkpoint import checkpoints

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("crash_worker.py")

pytestmark = pytest.mark.slow


def run(tiny: tuple[Path, Path], out: Path, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(WORKER), *map(str, (*tiny, out, *arguments))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def sums(folder: Path) -> dict[str, str]:
    """sha256 of every weights file of a checkpoint, the state included."""
    return {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*.safetensors"))}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[Path, Path]:
    return write_tiny(tmp_path_factory.mktemp("tiny"), count=9)


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole")
    done = run(tiny, out)
    assert done.returncode == 0, done.stderr
    found = checkpoints(out / "checkpoints")
    assert len(found) == 2  # the limit
    verify_checkpoint(found[-1])
    return sums(found[-1])


@pytest.mark.parametrize(
    "death",
    [("--die-at", 0, 3), ("--die-at", 1, 2), ("--die-while-saving", 5)],
    ids=["phase D", "phase E", "saving"],
)
def test_a_killed_run_ends_with_the_same_bits(tiny, whole, tmp_path, death):
    died = run(tiny, tmp_path, *death)
    assert died.returncode == -signal.SIGKILL, died.stderr
    left = checkpoints(tmp_path / "checkpoints")
    for folder in left:
        verify_checkpoint(folder)
    if death[0] == "--die-while-saving":
        assert list((tmp_path / "checkpoints").glob(".*")) and int(left[-1].name) == 4
    done = run(tiny, tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "checkpoints").glob(".*"))
    found = sums(checkpoints(tmp_path / "checkpoints")[-1])
    assert found == whole
    assert {"encoder/model.safetensors", "decoder/model.safetensors", "state/optimisers.safetensors"} < set(
        found
    )


def test_a_full_disk_costs_one_checkpoint_and_no_more(tiny, whole, tmp_path):
    done = run(tiny, tmp_path, "--disk-full-at", 3)
    assert done.returncode == 0, done.stderr
    assert "no checkpoint at step 3, training goes on" in done.stderr
    assert sums(checkpoints(tmp_path / "checkpoints")[-1]) == whole
    stopped = run(tiny, tmp_path / "again", "--disk-full-at", 3, "--die-at", 0, 3)
    assert stopped.returncode == -signal.SIGKILL
    names = [folder.name for folder in checkpoints(tmp_path / "again" / "checkpoints")]
    assert names == ["00000001", "00000002"]
    verify_checkpoint(tmp_path / "again" / "checkpoints" / "00000002")


def test_the_state_is_safetensors_and_json_only(tiny, tmp_path):
    run(tiny, tmp_path, "--die-at", 0, 1)
    state = checkpoints(tmp_path / "checkpoints")[-1] / "state"
    assert {path.suffix for path in state.iterdir()} == {".safetensors", ".json"}
    for path in state.glob("*.safetensors"):
        with safe_open(str(path), framework="pt") as file:
            assert list(file.keys())
