"""The comparison of forms: it runs, its errors are real, its ratios follow from its times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from facesep import ConfigError
from facesep.config import preset
from facesep.evaluation import forms, race
from facesep.evaluation.forms import Measured

ROOT = Path(__file__).parents[2]


def test_forms_agree_and_a_wrong_one_is_seen():
    sep = forms.random_model(preset("tiny"))
    results, rates = forms.compare(
        sep, ["reference", "float32", "bfloat16"], batches=(1, 2), frames=3, repeats=2
    )
    assert set(results) >= {("encode", 1), ("render", 2), ("encode and render", 2), ("orbit of 3 frames", 1)}
    assert all(len(values) == 2 and min(values) > 0 for values in rates.values())
    for key, group in results.items():
        assert all(len(one.wall) == len(one.cpu) == 2 for one in group.values())
        if key[0] in ("encode", "render"):
            assert group["float32"].error < 1e-4 < group["bfloat16"].error < 0.5
            assert group["reference"].error is None
    assert "reference" not in results["orbit of 3 frames", 1]
    assert results["render", 1]["float32"].decibels > 80
    assert results["render", 1]["float32"].work > 0


def test_rows_follow_from_the_times():
    found = {
        ("render", 1): {
            "reference": Measured([4.0, 6.0], [8.0, 9.0], 2.0),
            "float32": Measured([1.0, 2.0], [4.0, 2.0], 2.0, 1e-6, 100.0),
        }
    }
    first, second = forms.rows(found, {"float32": [4.0, 3.0], "bfloat16": [1.0]})
    assert (second["x wall"], second["x CPU"], second["images/s"]) == ("4.00", "4.00", "1.00")
    assert (first["share of matmul"], second["share of matmul"]) == ("12 %", "50 %")


def test_unknown_forms_are_refused():
    sep = forms.random_model(preset("tiny"))
    with pytest.raises(ConfigError, match="choose from reference, float32"):
        forms.build(sep, ["fastest"])
    eager = {"reference", "float32", "bfloat16"}
    assert set(race.usable("cuda")) == eager | {"graphs float32", "graphs bfloat16"}
    assert set(race.usable("mps")) == eager


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
    assert report["format"] == race.FORMAT and "x wall" in run.stdout
    stages = {(row["stage"], row["form"]) for row in table["rows"]}
    assert {("render", "reference"), ("render", "float32"), ("orbit of 2 frames", "float32")} <= stages
    render = next(row for row in table["rows"] if (row["stage"], row["form"]) == ("render", "float32"))
    assert float(render["added MB"]) >= 0
    wrong = subprocess.run(
        [sys.executable, str(ROOT / "eval" / "speed.py"), "--repeats", "1"], capture_output=True, text=True
    )
    assert wrong.returncode == 2 and "--preset" in wrong.stderr
