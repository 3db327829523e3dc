"""The real scripts on a small shard set: files, tables, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from credited import PHOTOS
from PIL import Image
from safetensors.torch import save_file

from facesep.analysis.labels import Labels
from facesep.codes import CODE_LENGTH
from facesep.data.shards import ShardSet
from facesep.evaluation.report import read_report
from facesep.nets.official.tddfa import Tddfa
from facesep.provenance import verify

ROOT = Path(__file__).resolve().parents[2]
TOOL = """
import sys
from pathlib import Path
import numpy as np
pictures = sorted(Path(sys.argv[1]).glob("*.png"))
landmarks = np.random.default_rng(0).random((len(pictures), 478, 3))
np.savez(sys.argv[2], names=np.array([p.stem for p in pictures]), landmarks=landmarks)
"""

MASKS = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
paths = sorted(Path(sys.argv[1]).glob("*.png"))
masks = [np.asarray(Image.open(path).convert("L")) < 200 for path in paths]
np.savez(sys.argv[2], names=np.array([path.stem for path in paths]), masks=np.array(masks))
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, ROOT / "eval" / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.slow
def test_scripts_fill_one_report(shards, checkpoint, tmp_path):
    out = tmp_path / "eval.json"
    common = ("--checkpoint", checkpoint, "--shards", shards)
    first = run("representation.py", *common, "--identity", "none", "--out", out)
    assert first.returncode == 0, first.stderr
    assert "Representation (val crops)" in first.stdout and "| render |" in first.stdout
    (tmp_path / "tool.py").write_text(TOOL)
    tool = f"{sys.executable} {tmp_path / 'tool.py'}"
    second = run("expression.py", *common, "--out", out, "--landmarks", tool, "--landmarks-name", "Dice")
    assert second.returncode == 0, second.stderr
    report = read_report(out)
    assert [table["title"] for table in report["tables"]] == [
        "Representation (val crops)",
        "Representation by set (val crops)",
        "Expression transfer by Dice (val)",
    ]
    assert str(tmp_path) not in out.read_text() and str(shards) not in out.read_text()
    words = f"--checkpoint tiny --shards {shards.name} --identity none --out eval.json"
    assert report["tables"][0]["command"] == f"python eval/representation.py {words}"


@pytest.mark.slow
def test_pose_and_hair_scripts(shards, checkpoint, tmp_path):
    """With a pose network of random weights and hair wherever a picture is dark."""
    out, network, labels = (
        tmp_path / "eval.json",
        tmp_path / "net.safetensors",
        tmp_path / "labels.safetensors",
    )
    save_file(Tddfa().state_dict(), str(network))
    found = ShardSet(shards, "val")
    codes = torch.zeros(len(found), 2, CODE_LENGTH)
    depth = torch.zeros(len(found), 4, 4, dtype=torch.float16)
    ids, rms = torch.from_numpy(found.ids.copy()), torch.zeros(len(found))
    Labels(ids, codes, depth, rms, {}, ()).save(labels)
    common = ("--checkpoint", checkpoint, "--shards", shards, "--out", out)
    pose = run("pose.py", *common, "--labels", labels, "--tddfa", network)
    assert pose.returncode == 0, pose.stderr
    (tmp_path / "masks.py").write_text(MASKS)
    hair = run("hair.py", *common, "--masks", f"{sys.executable} {tmp_path / 'masks.py'}")
    assert hair.returncode == 0, hair.stderr
    first, second = read_report(out)["tables"]
    assert [row["view"] for row in first["rows"]] == ["photos", "own pose", "yaw 0", "yaw -30", "yaw +30"]
    assert "4 photos of 3 people (val)" in first["note"] and first["results"]["yaw 0"]["turn"]["value"] >= 0
    assert second["title"] == "Hair transfer by PrismaNet (val crops)" and second["rows"][0]["transfers"] == 4
    wrong = run("pose.py", *common, "--labels", labels, "--tddfa", labels)
    assert wrong.returncode == 2 and "mb05_120x120" in wrong.stderr.splitlines()[0]


@pytest.mark.slow
def test_sheet_script(shards, checkpoint, tmp_path):
    out = tmp_path / "sheet.jpg"
    done = run(
        "sheet.py", "--checkpoint", checkpoint, "--shards", shards, "--people", 3, "--cell", 48, "--out", out
    )
    assert done.returncode == 0, done.stderr
    with Image.open(out) as image:
        assert image.format == "JPEG" and image.width == 11 * 52 + 4
    assert verify(out).made_by_facesep


def test_gallery_script(shards, checkpoint, tmp_path):
    out = tmp_path / "docs" / "faces.md"
    common = ("--checkpoint", checkpoint, "--shards", shards, "--people", 3, "--videos", 1, "--frames", 4)
    done = run("gallery.py", *common, "--photos", ROOT / "tests" / "data" / "photos", "--out", out)
    assert done.returncode == 0, done.stderr
    page = out.read_text()
    assert "python eval/gallery.py" in page and "Photos: " in page and str(tmp_path) not in page
    linked = re.findall(r"\]\(([^)]+)\)", page)
    assert len(linked) == 5 and all(verify(out.parent / path).made_by_facesep for path in linked)
    with Image.open(out.parent / linked[0]) as image:
        assert image.width == 10 * 132 + 4  # photo, render, donor, seven attributes
        detailed = image.copy()
    with Image.open(out.parent / linked[3]) as image:
        assert image.size == detailed.size and image.tobytes() != detailed.tobytes()
    few = run("gallery.py", "--checkpoint", checkpoint, "--shards", shards, "--people", 99, "--out", out)
    assert few.returncode == 2 and "99 are wanted" in few.stderr


@pytest.mark.slow
def test_speed_script(checkpoint, tmp_path):
    if not (ROOT / "facesep" / "assets" / "faces" / "finder.safetensors").exists():
        pytest.skip("the bundled detector is missing")
    out = tmp_path / "speed.json"
    done = run(
        "speed.py", "--checkpoint", checkpoint, "--photo", PHOTOS / "london_101.jpg", "--repeats", 2,
        "--frames", 3, "--threads", 1, "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table, rates = json.loads(out.read_text())["tables"]
    assert rates["title"].startswith("Table 4")
    seconds = table["results"]["seconds"]
    assert {"import", "detect and align", "encode", "render", "orbit of 3 frames, mp4"} <= set(seconds)
    assert all(0 < one["least"] <= one["median"] for one in seconds.values())
    assert 0 < table["results"]["matmul_gflops"]["median"] <= table["results"]["matmul_gflops"]["best"]
    assert "1 thread" in table["hardware"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("representation.py", ("--shards", "nowhere", "--identity", "none")),
        ("expression.py", ("--shards", "nowhere")),
        ("sheet.py", ("--shards", "nowhere", "--out", "sheet.jpg")),
        ("speed.py", ("--photo", "nowhere.jpg")),
    ],
)
def test_wrong_arguments_are_one_line(checkpoint, script, arguments):
    done = run(script, "--checkpoint", checkpoint, *arguments)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr
