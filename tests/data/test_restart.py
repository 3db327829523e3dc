"""Killed anywhere, out of disk, out of workers: the run goes on and ends with the same bytes."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_shards import Drawings, write_portraits

from facesep.data.duplicates import file_sizes, same_files
from facesep.data.prepare import prepare
from facesep.data.shards import ShardSet
from facesep.errors import DataError
from facesep.training.script import Progress

ROOT = Path(__file__).resolve().parents[2]
JOB = {"size": 32, "shard_samples": 6, "small": 16}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the lock."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    prepare(Drawings(14), folder, **JOB)
    return contents(folder)


def die_at(out: Path, kill_at: int) -> None:
    """Runs the job and kills this process at the n-th touch of the disk."""
    touched = 0

    def counting(function):
        def wrapped(*arguments, **options):
            nonlocal touched
            touched += 1
            if touched == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return wrapped

    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, counting(getattr(os, name)))
    prepare(Drawings(14), out, **JOB)
    os._exit(0)


def kill_at(out: Path, point: int) -> int:
    child = multiprocessing.get_context("fork").Process(target=die_at, args=(out, point))
    child.start()
    child.join()
    return child.exitcode


@pytest.mark.slow
def test_killed_anywhere_it_continues(tmp_path: Path, whole: dict[str, bytes]):
    """A process of its own is killed before each write, sync, rename and removal in turn."""
    point, killed = 1, 0
    while True:
        out = tmp_path / str(point)
        code = kill_at(out, point)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        if "index.json" in contents(out):  # whatever stands there is whole
            ShardSet(out).verify()
        prepare(Drawings(14), out, **JOB)
        assert contents(out) == whole
        point += 1 if point < 12 else 5
    assert killed > 15


def test_killed_twice_it_continues(tmp_path: Path, whole: dict[str, bytes]):
    for point in (5, 9):
        assert kill_at(tmp_path, point) == -signal.SIGKILL
    prepare(Drawings(14), tmp_path, **JOB)
    assert contents(tmp_path) == whole


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, whole, monkeypatch: pytest.MonkeyPatch):
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device.*finished shards are kept"):
        prepare(Drawings(14), tmp_path, **JOB)
    monkeypatch.undo()
    first = (tmp_path / "00000.tar").stat().st_mtime_ns
    prepare(Drawings(14), tmp_path, **JOB)
    assert contents(tmp_path) == whole
    assert (tmp_path / "00000.tar").stat().st_mtime_ns == first


def test_two_runs_do_not_share_a_folder(tmp_path: Path):
    with open(tmp_path / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another run is filling"):
            prepare(Drawings(3), tmp_path, 32)
    prepare(Drawings(3), tmp_path, 32)


class Deadly(Drawings):
    """One picture ends the process, as the kernel does when memory runs out."""

    def prepare(self, name: str, size: int):
        if name == "picture 8":
            os._exit(9)
        return super().prepare(name, size)


@pytest.mark.slow
def test_a_dead_worker_is_reported(tmp_path: Path, whole):
    with pytest.raises(DataError, match="worker process died"):
        prepare(Deadly(14), tmp_path, workers=2, **JOB)
    prepare(Drawings(14), tmp_path, workers=2, **JOB)
    assert contents(tmp_path) == whole


def start(photos: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "train/prepare_data.py", "portraits", str(photos), "--out", str(out)]
    options = ["--size", "512", "--small", "64", "--workers", "3", "--shard-samples", "4"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *options], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_the_real_script_killed_with_its_workers_at_work(tmp_path: Path):
    """Only the parent is killed: its workers must go with it, and leave nothing half-written."""
    from facesep.data.portraits import PortraitSource

    write_portraits(tmp_path / "photos", 40)
    whole = tmp_path / "whole"
    source = PortraitSource(tmp_path / "photos")
    prepare(source, whole, 512, shard_samples=4, small=64)
    out = tmp_path / "killed"
    for wanted in (1, 5):
        process = start(tmp_path / "photos", out)
        while len(list(out.glob("*.tar"))) < wanted:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.002)
        process.kill()
        process.communicate()  # returns when the workers, who share its pipes, have ended, too
        assert not (out / "index.json").exists()
    process = start(tmp_path / "photos", out)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert b"40 of 40 photos" in printed
    first = re.search(r"(\d+)/40", errors.decode())
    assert first and int(first[1]) >= 4  # what was finished counts from the start
    assert contents(out) == contents(whole)


def test_shards_are_redone_when_a_photo_changes(tmp_path: Path):
    from facesep.data.portraits import PortraitSource

    photos, out = tmp_path / "photos", tmp_path / "set"
    write_portraits(photos, 6)
    prepare(PortraitSource(photos), out, 32, shard_samples=2)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    (photos / "lab/3.jpg").write_bytes(b"damaged since")
    report = prepare(PortraitSource(photos), out, 32, shard_samples=2)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert [name for name in before if before[name] != after[name]] == ["00001.tar"]
    assert report["rejects"] == {"unreadable photo or label map": 1}


def test_same_files_are_found(tmp_path: Path):
    rng = np.random.default_rng(0)
    long = rng.bytes(70_000)
    texts = [b"a", b"b", long, b"a", long[:-1] + b"x", b"", b"", long, b"a", long[:-1]]
    paths = [tmp_path / str(i) for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text)
    paths += [tmp_path / "gone", None]
    sizes = file_sizes(paths)
    assert sizes[-2:] == [-1, -1]
    expected = {i: texts.index(text) for i, text in enumerate(texts) if text and texts.index(text) < i}
    assert same_files(paths, sizes) == expected == {3: 0, 7: 2, 8: 0}


def test_the_estimate_counts_only_work_of_now(capsys):
    tell = Progress()
    tell(9000, 10_000)  # finished by an earlier run, in no time
    assert tell.bar.format_dict["initial"] == 9000
    said = tell.bar.format_meter(**tell.bar.format_dict | {"n": 9120, "elapsed": 60.0, "rate": None})
    assert "9120/10000" in said and "2.00 photos/s" in said and "07:20" in said  # 880 at 2 a second
    tell(10_000, 10_000)
    assert "10000/10000" in capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
