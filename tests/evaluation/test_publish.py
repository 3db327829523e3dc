"""Reports into checkpoints: a folder, the Hub, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from fakehub import TOKEN

from facesep import FaceSep
from facesep.config import preset
from facesep.errors import ConfigError
from facesep.evaluation import report
from facesep.evaluation.publish import RESULTS, Benchmark, publish
from facesep.evaluation.statistics import Estimate
from facesep.hub import verify_checkpoint

TITLE = "Table 2: reconstruction (val crops)"


@pytest.fixture
def folder(checkpoint, tmp_path):
    return shutil.copytree(checkpoint, tmp_path / "model")


@pytest.fixture
def measured(checkpoint, tmp_path):
    path = tmp_path / "eval.json"
    results = {"facesep": {"L1": Estimate(0.0612, 0.05, 0.07)}}
    one = report.table(TITLE, [{"method": "facesep", "L1": "0.0612"}], "A note.", results)
    report.write_report(path, str(checkpoint), [one])
    return path


BENCHMARK = Benchmark("user/portraits", "reconstruction", TITLE, "facesep", "L1")


def test_into_a_folder(folder, measured):
    assert publish(str(folder), measured, BENCHMARK) == str(folder)
    verify_checkpoint(folder)
    assert "0.0612" in (folder / "README.md").read_text()
    assert FaceSep.from_pretrained(folder).extras["eval"]["tables"][0]["title"] == TITLE
    (entry,) = json.loads((folder / RESULTS).read_text())
    assert entry["dataset"] == {"id": "user/portraits", "task_id": "reconstruction"}
    assert entry["value"] == 0.0612
    assert not list(folder.rglob("*.part"))


def test_onto_the_hub_in_one_commit(hub, checkpoint, measured):
    FaceSep.from_pretrained(checkpoint).push_to_hub("ada/model", token=TOKEN)
    before = len(hub.repos["ada/model"].commits)
    publish("ada/model", measured, BENCHMARK, token=TOKEN)
    repo = hub.repos["ada/model"]
    assert len(repo.commits) == before + 1
    files = repo.commits[repo.branches["main"]]
    assert {"eval.json", "README.md", RESULTS, "encoder/model.safetensors"} <= set(files)
    assert b"ada/model" in files["README.md"].data and b"0.0612" in files["README.md"].data
    again = FaceSep.from_pretrained("ada/model", token=TOKEN, force_download=True)
    assert again.extras["eval"]["tables"][0]["title"] == TITLE


def test_what_is_refused(folder, measured, tmp_path):
    torch.manual_seed(5)
    FaceSep(preset("tiny")).save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="other weights"):
        publish(str(tmp_path / "other"), measured)
    missing = Benchmark("user/portraits", "x", TITLE, "facesep", "LPIPS")
    with pytest.raises(ConfigError, match="no number 'LPIPS'"):
        publish(str(folder), measured, missing)
    found = json.loads(measured.read_text())
    measured.write_text(json.dumps({**found, "refined": True}))
    with pytest.raises(ConfigError, match="refined"):
        publish(str(folder), measured)
