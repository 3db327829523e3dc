"""The training scripts, run as a user runs them, on drawn heads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_data import write_tiny

from facesep.config import preset, to_dict
from facesep.model import FaceSep

ROOT = Path(__file__).parents[2]
CONFIG = """
preset: tiny
distance: scaled
shape_optimiser: adam
batch_size: 4
micro_batch: 2
bf16: false
image_store: 64
weights: {white: 1.0, opacity: 1.0, depth: 0.3, image: 1.0}
schedule:
  - {kind: decoder, epochs: 1}
  - {kind: encoder, epochs: 1}
  - {kind: joint, epochs: 1}
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "train" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)


@pytest.mark.slow
def test_from_labels_to_a_release(tmp_path):
    shards, labels = write_tiny(tmp_path)
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG)
    common = ("--config", config, "--shards", shards, "--labels", labels)
    heads = run("pretrain_heads.py", *common, "--out", tmp_path / "heads", "--epochs", 1)
    assert heads.returncode == 0, heads.stderr
    agreement = json.loads((tmp_path / "heads" / "agreement.json").read_text())
    assert set(agreement) == set(FaceSep(preset("tiny")).encoder.heads)
    encoder = tmp_path / "heads" / "encoder.safetensors"
    done = run("em.py", *common, "--encoder", encoder, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    about = tmp_path / "about.json"
    about.write_text('{"license": "cc0-1.0"}')
    checkpoint = tmp_path / "run" / "checkpoint"
    out = run("push.py", checkpoint, "--about", about, "--out", tmp_path / "release", "--dtype", "float16")
    assert out.returncode == 0, out.stderr
    assert FaceSep.from_pretrained(tmp_path / "release").extras["train_config"]["license"] == "cc0-1.0"


@pytest.mark.slow
def test_a_run_starts_from_a_checkpoint(tmp_path):
    shards, labels = write_tiny(tmp_path)
    torch.manual_seed(5)
    start = FaceSep(preset("tiny"))
    start.save_pretrained(tmp_path / "start")
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG)
    common = ("--config", config, "--shards", shards, "--labels", labels, "--out", tmp_path / "run")
    only = "schedule=[{kind: decoder, epochs: 1}]"
    done = run("em.py", *common, "--init", tmp_path / "start", "--set", only)
    assert done.returncode == 0, done.stderr
    trained = FaceSep.from_pretrained(tmp_path / "run" / "checkpoint")
    assert trained.config == start.config
    for key, value in start.encoder.state_dict().items():  # phase D does not touch the encoder
        assert torch.equal(trained.encoder.state_dict()[key], value), key
    # A model of the configuration's own is the run's, and the weights must fit it or grow to it.
    grown = {"volume_radii": (1.0, 1.0, 1.0), "ray_size": 16, "modulated": True}
    for changes in (grown, {"width": 48}):
        model = to_dict(start.config)
        model["decoder"] |= changes
        own = f"model={json.dumps(model)}"
        done = run("em.py", *common, "--init", tmp_path / "start", "--set", only, "--set", own)
        if "width" in changes:
            assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(
                "error: the networks of --init"
            )
            assert "Traceback" not in done.stderr
        else:
            assert done.returncode == 0, done.stderr
            trained = FaceSep.from_pretrained(tmp_path / "run" / "checkpoint")
            assert {key: getattr(trained.config.decoder, key) for key in changes} == changes
    wrong = run("em.py", *common, "--set", "nonsense=1")
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: ")
    assert "Traceback" not in wrong.stderr


@pytest.mark.slow
def test_ablations_are_tabulated(tmp_path):
    shards, labels = write_tiny(tmp_path)
    config = tmp_path / "run.yaml"
    alternating = "[{kind: decoder, epochs: 1}, {kind: encoder, epochs: 1}]"
    config.write_text(f"{CONFIG.split('schedule')[0]}schedule: {alternating}\n")
    common = ("--config", config, "--shards", shards, "--labels", labels, "--out", tmp_path / "run")
    done = run("ablation.py", *common, "--seeds", 0, 1)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "run" / "ablation.json").read_text())
    assert len(content["records"]) == 4 * 2 * 2 and len(content["summary"]) == 4 * 2
    full, without = (
        next(r for r in content["records"] if r["variant"] == v and r["set"] == "train")
        for v in ("full", "without L_dis")
    )
    assert full["l1"] != without["l1"] or full["swap"] != without["swap"]
    assert "| full | held out | 1 |" in (tmp_path / "run" / "ablation.md").read_text()
    finished = tmp_path / "run" / "full-0" / "measures.json"
    written = finished.stat().st_mtime_ns
    again = run("ablation.py", *common, "--seeds", 0, "--variants", "full")
    assert again.stdout and finished.stat().st_mtime_ns == written  # what is finished is kept
    some = ("--seeds", 0, "--variants", "full", "--max_train_samples", 3)
    assert run("ablation.py", *common, *some).returncode == 0
    assert json.loads(finished.read_text())["of"]["photos"] == 6  # three photos and their mirror images
