"""The measure of the reader counts what it read, by the real loader, and its script says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_data import SIZE, write_tiny

from facesep.errors import ConfigError
from facesep.training.dataset import TrainingSet
from facesep.training.reading import measure

ROOT = Path(__file__).resolve().parents[2]


def test_images_and_seconds_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = TrainingSet(*write_tiny(tmp_path), size=SIZE, in_memory=False)
    decoded, real = [], data._decode
    monkeypatch.setattr(data, "_decode", lambda k: decoded.append(k) or real(k))
    start = time.perf_counter()
    found = measure(data, SIZE, batch_size=3, batches=4, threads=2)
    assert found.images == len(decoded) == 12
    assert 0 < found.seconds <= time.perf_counter() - start
    assert found.speed == found.images / found.seconds and found.peak_memory > 2**20
    with pytest.raises(ConfigError):
        measure(data, SIZE, batches=0)


@pytest.mark.slow
def test_the_script(tmp_path: Path):
    shards, labels = write_tiny(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = [sys.executable, ROOT / "eval/reader.py", "--shards"]
    options = ["--labels", labels, "--size", str(SIZE), "--batches", "3", "--threads", "1"]
    for given, said in ((["--in-memory"], "5 photos in memory"), ([], "5 photos from shards of 64 px")):
        run = subprocess.run(
            [
                sys.executable,
                ROOT / "eval/reader.py",
                "--shards",
                shards,
                "--labels",
                labels,
                *options,
                *given,
            ],
            capture_output=True,
            text=True,
            env=environment,
        )
        assert run.returncode == 0, run.stderr
        assert re.search(r"reader alone: [\d.]+ images/s \(48 images", run.stdout) and said in run.stdout
    run = subprocess.run([*script, tmp_path], capture_output=True, text=True, env=environment)
    assert run.returncode == 2 and "no prepared shards" in run.stderr and "Traceback" not in run.stderr
