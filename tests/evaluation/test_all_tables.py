"""Every table and figure from one command, and the scripts one by one, on a tiny checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from PIL import Image
from test_scripts import ROOT, run

from facesep import FaceSep
from facesep.config import preset
from facesep.evaluation.report import read_report

pytestmark = pytest.mark.slow


def test_all_in_one_command(shards, checkpoint, tmp_path):
    if not (ROOT / "facesep" / "assets" / "faces" / "finder.safetensors").exists():
        pytest.skip("the bundled detector is missing")
    out = tmp_path / "report"
    command = (
        *("all.py", "--checkpoint", checkpoint, "--shards", shards, "--lpips", "none", "--identity", "none"),
        *("--estimator", f"encoder={checkpoint}", "--fit", 2, "--fit-steps", 3, "--sets", 2, "--values", 2),
        *("--out", out),
    )
    done = run(*command)
    assert done.returncode == 0, done.stderr
    titles = {one["title"]: one for one in read_report(out / "eval.json")["tables"]}
    for start in ("Representation", "Table 2", "Table 3", "Table 4", "Expression transfer", "Speed"):
        assert any(title.startswith(start) for title in titles), start
    table = titles["Table 2: reconstruction (val crops)"]
    rows = {row["method"]: row for row in table["rows"]}
    assert rows["copy of the photo"]["L1"] == "0.0000" and rows["paper: Ours"]["LPIPS"] == "0.2713"
    assert "per-image fitting of our decoder (2 photos)" in rows
    assert {"L1", "SSIM", "AED", "ATD", "AID", "APD"} <= set(rows["facesep"])
    assert set(table["inputs"]) == {"shards"} and table["checkpoints"]["facesep"]["sha256"]
    assert any(
        "per-image" in row["method"]
        for row in next(one for title, one in titles.items() if title.startswith("Table 4"))["rows"]
    )
    for name in (
        "table2.png",
        "table3.png",
        "table3_scores.png",
        "figure3.jpg",
        "figure4.jpg",
        "figure5.jpg",
    ):
        with Image.open(out / name) as image:
            assert min(image.size) > 100
    text = (out / "report.md").read_text()
    assert "paper: MoFaNeRF-fine" in text and str(tmp_path) not in text
    assert str(tmp_path) not in (out / "eval.json").read_text()
    bare = ("all.py", "--out", tmp_path / "other")
    for words, message in (
        ((*command, "--tddfa", "net.safetensors"), "--tddfa needs --labels"),
        ((*bare, "--masks", "tool", "--photos", "photos"), "give --shards"),
    ):
        wrong = run(*words)
        assert wrong.returncode == 2 and message in wrong.stderr
    again = run(*command)
    assert again.returncode == 0 and again.stderr.count("(done before)") == 7, again.stderr
    state = out / "work" / "steps.json"
    state.write_text(state.read_text().replace(json.loads(state.read_text())["shards"][0], "0" * 64))
    other = run(*command)  # what was done with other photos does not count
    assert other.returncode == 2 and "other settings, weights or photos" in other.stderr


def test_two_processes_give_the_same_table(shards, checkpoint, tmp_path):
    pytest.importorskip("accelerate")
    common = (
        *("--checkpoint", f"tiny={checkpoint}", "--shards", shards, "--lpips", "none", "--identity", "none"),
        *("--batch", 1, "--by", "none"),
    )
    one = run("table2.py", *common, "--out", tmp_path / "one.json")
    assert one.returncode == 0, one.stderr
    words = [ROOT / "eval" / "table2.py", *common, "--work", tmp_path / "w", "--out", tmp_path / "two.json"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    two = subprocess.run([*launch, *map(str, words)], capture_output=True, text=True)
    assert two.returncode == 0, two.stderr[-2000:]
    a, b = (json.loads((tmp_path / name).read_text())["tables"] for name in ("one.json", "two.json"))
    assert len(a) == len(b) == 1 and a[0]["rows"] == b[0]["rows"] and a[0]["results"] == b[0]["results"]
    assert {path.name for path in (tmp_path / "w").iterdir()} == {
        "comparison-table2.json", "comparison-table2.0.jsonl", "comparison-table2.1.jsonl"
    }  # fmt: skip


def test_ablations_and_rounds(shards, checkpoint, tmp_path):
    torch.manual_seed(7)
    FaceSep(preset("tiny")).save_pretrained(tmp_path / "other")
    two = ("--checkpoint", f"full={checkpoint}", "--checkpoint", f"w/o L_cyc={tmp_path / 'other'}")
    common = ("--shards", shards, "--lpips", "none", "--identity", "none", "--limit", 2)
    ablation = run("ablation.py", *two, *common, "--out", tmp_path / "a.json")
    assert ablation.returncode == 0, ablation.stderr
    assert "| w/o L_cyc |" in ablation.stdout and "| paper: w/o z_hair |" in ablation.stdout
    (table,) = read_report(tmp_path / "a.json")["tables"]
    sums = {name: one["sha256"] for name, one in table["checkpoints"].items()}
    assert set(sums) == {"full", "w/o L_cyc"} and sums["full"] != sums["w/o L_cyc"]
    assert str(tmp_path) not in json.dumps(table)
    rounds = run("em_rounds.py", *two, *common, "--plot", tmp_path / "rounds.png")
    assert rounds.returncode == 0, rounds.stderr
    assert "| paper: 150 epochs |" in rounds.stdout and (tmp_path / "rounds.png").is_file()


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("table2.py", ("--lpips", "none", "--identity", "none"), "give --shards"),
        ("ablation.py", ("--shards", "x"), "at least two"),
        ("publish.py", ("nowhere.json", "x", "--dataset", "a/b"), "a benchmark needs"),
    ],
)
def test_wrong_arguments_are_one_line(script, arguments, words):
    done = run(script, *arguments)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and words in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1
