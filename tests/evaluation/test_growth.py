"""What is varied is really varied, and the table and plot show what was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from facesep import ConfigError
from facesep.evaluation import growth, plots
from facesep.evaluation.growth import BATCH, FRAMES, SAMPLES, SIZE

ROOT = Path(__file__).parents[2]
POINTS = {SIZE: (16, 64), SAMPLES: (4, 8), BATCH: (1, 3), FRAMES: (2, 4)}


def test_each_thing_is_varied_alone(tmp_path):
    tasks = growth.tasks("tiny", ["reference", "float32"], POINTS, folder=tmp_path)
    pictures = {key: task() for key, task in tasks.items() if key[0] != FRAMES}
    assert {tuple(one.shape) for key, one in pictures.items() if key[:2] == (SIZE, 64)} == {(1, 3, 64, 64)}
    assert {one.shape[-1] for key, one in pictures.items() if key[:2] == (SIZE, 16)} == {16}
    assert [len(pictures[BATCH, count, "float32"]) for count in (1, 3)] == [1, 3]
    for (varied, value, form), picture in pictures.items():
        if form == "float32":
            assert (picture - pictures[varied, value, "reference"]).abs().max() < 1e-4
    few, many = (pictures[SAMPLES, count, "float32"] for count in (4, 8))
    assert few.shape == many.shape and (few - many).abs().max() > 1e-4
    assert {key[2] for key in tasks if key[0] == FRAMES} == {"float32"}
    assert tasks[FRAMES, 2, "float32"]().stat().st_size > 0


def test_rows_table_and_plot(tmp_path):
    rounds = []
    points = {SAMPLES: (4, 8), FRAMES: (2,)}
    rows = growth.measure("tiny", points=points, repeats=2, on_round=rounds.append)
    assert rounds == [1, 2] and len(rows) == 5
    assert all(row["seconds"] > 0 for row in rows)
    table = growth.as_table(rows, "tiny", 2, "cpu")
    assert [row[""] for row in table["rows"]] == [4, 8, 2]
    assert table["rows"][0]["float32 (s)"] and table["rows"][2]["reference (s)"] == ""
    with pytest.raises(ConfigError, match="nothing to measure"):
        growth.measure("tiny", points={})
    pytest.importorskip("matplotlib")
    with Image.open(plots.growth(rows, tmp_path / "growth.png", "tiny")) as image:
        assert image.width > 400


@pytest.mark.slow
def test_the_script_draws_it(tmp_path):
    pytest.importorskip("matplotlib")
    out, plot = tmp_path / "growth.json", tmp_path / "growth.png"
    words = ["--preset", "tiny", "--growth", "--sizes", "16", "32", "--frames", "0", "--repeats", "1"]
    run = subprocess.run(
        [sys.executable, str(ROOT / "eval" / "speed.py"), *words, "--out", str(out), "--plot", str(plot)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert SIZE in run.stdout and FRAMES not in run.stdout
    assert plot.stat().st_size > 1000 and '"CPU seconds"' in out.read_text()
