"""Timings: rounds, forms of computing a model whose differences are real, and what is varied for scaling."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from facesep import ConfigError
from facesep.config import preset
from facesep.evaluation import plots
from facesep.evaluation.bench import apart, comparison, forms, scaling
from facesep.evaluation.bench.comparison import Measured
from facesep.evaluation.bench.rounds import Timing, time_rounds
from facesep.evaluation.bench.scaling import BATCH, FRAMES, SAMPLES, SIZE
from facesep.evaluation.report import SPEED_FORMAT, markdown

ROOT = Path(__file__).parents[2]
POINTS = {SIZE: (16, 64), SAMPLES: (4, 8), BATCH: (1, 3), FRAMES: (2, 4)}


@pytest.mark.parametrize("largest", [16, 32])
def test_forms_agree_and_a_wrong_one_is_seen(monkeypatch, largest):
    monkeypatch.setattr(comparison, "LARGEST_REFERENCE_ORBIT", largest)
    sep, names = forms.random_model(preset("tiny")), ["reference", "float32"]
    names += ["bfloat16"] * (largest == 32)
    results, rates = comparison.compare(sep, names, batches=(1, 2), frames=3, repeats=2)
    stages = {key[:2] for key in results}
    assert stages >= {("encode", 1), ("render", 2), ("encode and render", 2), ("orbit of 3 frames", 1)}
    assert all(len(values) == 2 and min(values) > 0 for values in rates.values())
    for (stage, batch, form), one in results.items():
        assert len(one.timing.wall) == len(one.timing.cpu) == 2
        if stage in ("encode", "render"):
            least, most = {"float32": (0, 1e-4), "bfloat16": (1e-4, 0.5)}.get(form, (0, 0))
            assert one.error is None if form == "reference" else least <= one.error < most
        elif batch == 2:
            parts = (results[part, batch, form].timing.wall for part in ("encode", "render"))
            assert one.timing.wall == [sum(pair) for pair in zip(*parts, strict=True)]
    assert (("orbit of 3 frames", 1, "reference") in results) == (largest == 32)
    assert results["render", 1, "float32"].decibels > 80
    assert results["render", 1, "float32"].work > 0


def test_rows_follow_from_the_times():
    found = {
        ("render", 1, "reference"): Measured(Timing([4.0, 6.0], [8.0, 9.0]), 2.0),
        ("render", 1, "float32"): Measured(Timing([1.0, 2.0], [4.0, 2.0]), 2.0, 1e-6, 100.0),
    }
    first, second = comparison.rows(found, {"float32": [4.0, 3.0], "bfloat16": [1.0]})
    assert (second["x wall"], second["x CPU"], second["images/s"]) == ("4.00", "4.00", "1.00")
    assert (first["share of matmul"], second["share of matmul"]) == ("12 %", "50 %")


def test_rounds_run_every_task_once_each():
    order, told = [], []
    tasks = {name: lambda n=name: order.append(n) for name in "ab"} | {"c": lambda: 5.0}
    found = time_rounds(tasks, 2, "cpu", told.append)
    assert order == ["a", "b", "a", "b"] and told == [1, 2]
    assert found["c"].wall == [5.0, 5.0] and found["c"].median == 5.0  # it has taken the time itself
    assert all(0 <= seconds < 1 for seconds in found["a"].wall)


def test_unknown_forms_are_refused():
    sep = forms.random_model(preset("tiny"))
    with pytest.raises(ConfigError, match="choose from reference, float32"):
        forms.build(sep, ["fastest"])
    eager = {"reference", "float32", "bfloat16"}
    assert set(forms.usable("cuda")) == eager | {"graphs float32", "graphs bfloat16"}
    assert set(forms.usable("mps")) == eager


@pytest.mark.slow
def test_the_script(tmp_path):
    out = tmp_path / "speed.json"
    words = ["--preset", "tiny", "--forms", "reference", "float32", "--frames", "2", "--repeats", "1"]
    run = subprocess.run(
        [sys.executable, str(ROOT / "eval" / "speed.py"), *words, "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(out.read_text())
    (table,) = report["tables"]
    assert report["format"] == SPEED_FORMAT and "x wall" in run.stdout
    stages = {(row["stage"], row["form"]) for row in table["rows"]}
    assert {("render", "reference"), ("render", "float32"), ("orbit of 2 frames", "float32")} <= stages
    render = next(row for row in table["rows"] if (row["stage"], row["form"]) == ("render", "float32"))
    assert float(render["added MB"]) >= 0
    wrong = subprocess.run(
        [sys.executable, str(ROOT / "eval" / "speed.py"), "--repeats", "1"], capture_output=True, text=True
    )
    assert wrong.returncode == 2 and "--preset" in wrong.stderr


def test_each_thing_is_varied_alone(tmp_path):
    tasks = scaling.tasks("tiny", ["reference", "float32"], POINTS, folder=tmp_path)
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
    rows = scaling.measure("tiny", points=points, repeats=2, on_round=rounds.append)
    assert rounds == [1, 2] and len(rows) == 5
    assert all(row["seconds"] > 0 for row in rows)
    table = scaling.scaling_table(rows, "tiny", 2, "cpu")
    assert [row[""] for row in table["rows"]] == [4, 8, 2]
    assert table["rows"][0]["float32 (s)"] and table["rows"][2]["reference (s)"] == ""
    with pytest.raises(ConfigError, match="nothing to measure"):
        scaling.measure("tiny", points={})
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


@pytest.mark.slow
def test_what_hangs_or_fails_is_cut_and_the_table_still_ends():
    def part(form: str, code: str) -> apart.Part:
        return apart.Part("tiny", 32, form, (sys.executable, "-c", code))

    line = '{{"stage": "render", "batch": 2, "seconds": {}}}'
    hangs = f"import time; print('{line.format(0.5)}', flush=True); time.sleep(600)"
    fails = "raise SystemExit('out of memory')"
    todo = [part("reference", f"print('{line.format(1.0)}')"), part("slow", hangs), part("large", fails)]
    told = []
    rows = apart.measure(todo, 5.0, on_part=lambda rows, done: told.append((len(rows), done)))
    assert [(row["form"], row["x"]) for row in rows if row["seconds"]] == [
        ("reference", "1.0"),
        ("slow", "2.0"),
    ]
    assert [(row["form"], row[""]) for row in rows if row[""]] == [
        ("slow", "ended after 5 s"),
        ("large", "out of memory"),
    ]
    assert told == [(1, 1), (3, 2), (4, 3)] and rows[0]["images/s"] == "2.0"
    (late,) = apart.measure(todo[:1], total=0.0)
    assert "not begun" in late[""]
    assert "| slow |" in markdown([apart.apart_table(rows, 5.0, 1, "cpu")])


@pytest.mark.slow
def test_parts_are_commands_that_print_what_they_measure():
    todo = apart.parts("tiny", sizes=[32, 16], forms=["float32"], batches=[1, 2], repeats=1, device="cpu")
    kinds = [(one.what, one.pixels) for one in todo]
    assert kinds[0] == ("tiny", 32) and kinds[-1] == ("tiny", 16) and ("photo detail", 1024) in kinds
    found = list(apart.measure_forms(*todo[-1].command[4:]))
    assert [(one["stage"], one["batch"]) for one in found] == [
        (stage, batch) for batch in (1, 2) for stage in ("encode", "render", "encode and render")
    ]
    detail = list(apart.measure_detail("128", "cpu", "1", "1", "2"))
    assert {(one["stage"], one["batch"]) for one in detail} >= {("hair", 1), ("hair", 2)}
    assert all(one["seconds"] > 0 for one in found + detail)
