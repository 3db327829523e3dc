"""Counting false alarms: marked pictures are counted, bounds are those of the binomial distribution."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesep import watermark
from facesep.errors import DataError
from facesep.evaluation.false_alarms import Count, count, files
from facesep.images import encode_image
from facesep.provenance import encode

ROOT = Path(__file__).resolve().parents[2]


def picture(seed: int, size: int = 200) -> Image.Image:
    generator = np.random.default_rng(seed)
    pixels = generator.normal(130, 20, (size, size, 3)).clip(0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        (folder / f"{seed}.png").write_bytes(encode_image(picture(seed)))
    (folder / "marked.png").write_bytes(encode(picture(9)))
    (folder / "0.label.png").write_bytes(encode_image(picture(5)))
    (folder / "small.png").write_bytes(encode_image(picture(4, 100)))
    (folder / "broken.jpg").write_bytes(b"hello")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_what_carries_a_mark_is_counted(folder):
    paths = files(folder)
    assert [path.name for path in paths] == [
        "0.png",
        "1.png",
        "2.png",
        "broken.jpg",
        "marked.png",
        "small.png",
    ]
    done = []
    assert count(paths, on_photo=lambda *so_far: done.append(so_far)) == Count(4, 4, 4, 1, ("marked.png",))
    assert [number for number, _ in done] == [1, 2, 3, 4, 5, 6]
    assert [found.pictures for _, found in done] == [1, 2, 3, 3, 4, 4]
    cut = count(paths, cuts=2, seed=3)
    assert cut == count(paths, cuts=2, seed=3) and 4 < cut.pictures <= 12
    with pytest.raises(DataError, match="no pictures"):
        files(folder / "nowhere")


def test_more_keys_are_more_looks(folder):
    found = count(files(folder), keys=3)
    assert (found.pictures, found.looks, found.alarms) == (4, 12, 1)  # the mark has one key
    with pytest.raises(DataError, match="at least one key"):
        count(files(folder), keys=0)


def test_peaks_foretell_alarms(monkeypatch):
    """On the highest of 500 Gaussian numbers the predicted rate is the share above the threshold."""
    peaks = np.random.default_rng(0).normal(size=(20_000, 500)).max(1)
    monkeypatch.setattr(watermark, "THRESHOLD", 4.0)
    foretold = Count(1, 1, len(peaks), 0, (), tuple(peaks)).predicted()
    assert foretold == pytest.approx((peaks > 4).mean(), rel=0.15)


def test_bounds():
    assert Count(50, 100, 100, 0).at_most() == pytest.approx(1 - 0.05**0.01)  # closed form without alarms
    assert Count(1, 2, 30_000, 0).at_most() < 1e-4
    # Tabled: 5 of 100, one-sided 95 %: 0.1023.
    assert Count(100, 100, 100, 5).at_most() == pytest.approx(0.1023, abs=2e-4)
    assert Count(3, 3, 3, 3).at_most() == 1.0 and Count(0, 0, 0, 0).at_most() == 1.0


def test_the_script(folder, tmp_path):
    out = tmp_path / "alarms.json"
    script = [sys.executable, ROOT / "eval" / "false_alarms.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [*script, "--photos", folder, "--out", out], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(out.read_text())["alarms"] == 1 and json.loads(run.stdout)["pictures"] == 4
    missing = subprocess.run(
        [*script, "--photos", tmp_path / "none"], capture_output=True, text=True, env=environment
    )
    assert missing.returncode == 2 and missing.stderr.startswith("error: ")
