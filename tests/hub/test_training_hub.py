"""A run that pushes its rounds to a loopback Hub and goes on from there on another machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from fakehub import TOKEN
from huggingface_hub import HfApi
from tiny_data import write_tiny

from facesep.errors import CheckpointError, ConfigError, HubError
from facesep.hub.rounds import pushed_rounds
from facesep.model import FaceSep
from facesep.training.config import Phase, TrainConfig, Weights
from facesep.training.dataset import TrainingSet
from facesep.training.em import Trainer
from facesep.training.publish import Publisher, fetch_state, push_round

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "train"))

PHASES = (
    Phase("decoder", epochs=1),
    Phase("encoder", epochs=1),
    Phase("decoder", epochs=1),
    Phase("encoder", epochs=1),
)


def trainer(data: TrainingSet, out: Path, publish=None, phases=PHASES) -> Trainer:
    values = {"preset": "tiny", "distance": "scaled", "shape_optimiser": "adam", "bf16": False}
    values |= {"weights": Weights(white=1.0), "batch_size": 4, "micro_batch": 4, "image_store": 64}
    return Trainer(TrainConfig(**values, schedule=phases), data, out, publish=publish)


@pytest.fixture
def data(tmp_path: Path) -> TrainingSet:
    return TrainingSet(*write_tiny(tmp_path / "tiny"), "train", 64)


def test_rounds_are_pushed_and_continued_elsewhere(hub, monkeypatch, data, tmp_path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    whole = trainer(data, tmp_path / "whole")
    whole.begin()
    whole.run()
    publisher = Publisher("ada/run")
    here = trainer(data, tmp_path / "here", publisher, PHASES)

    class StopError(Exception):
        pass

    step = here.learn

    def interrupted(phase, batch, done):
        if here.phase == 2:
            raise StopError
        return step(phase, batch, done)

    here.learn = interrupted
    here.begin()
    with pytest.raises(StopError):
        here.run()
    publisher.wait()
    assert not list((tmp_path / "here" / "uploads").iterdir())
    files = HfApi().list_repo_files("ada/run", revision="training")
    assert "checkpoints/001/encoder/model.safetensors" in files
    assert not [name for name in files if name.startswith("checkpoints/001/state")]
    assert "state/codebook-00000-of-00001.safetensors" in files
    there = trainer(data, tmp_path / "there", publisher)
    there.resume(fetch_state("ada/run", tmp_path / "there" / "hub"))
    assert (there.phase, there.step) == (2, 0)
    there.run()
    publisher.wait()
    for name, value in whole.encoder.state_dict().items():
        assert torch.equal(there.encoder.state_dict()[name], value), name
    files = HfApi().list_repo_files("ada/run", revision="training")
    assert {"checkpoints/001/config.json", "checkpoints/002/config.json"} < set(files)
    rounds = pushed_rounds("ada/run")  # each round is a model of its own
    sha = hub.repos["ada/run"].branches["training"]
    assert rounds == {n: f"ada/run@{sha}:checkpoints/00{n}" for n in (1, 2)}
    assert pushed_rounds("ada/run@training", every=2) == {2: rounds[2]}
    assert list(pushed_rounds("ada/run", every=3)) == [2], "the last round is always there"
    first, second = (FaceSep.from_pretrained(name).encoder.state_dict() for name in rounds.values())
    assert all(torch.equal(second[name], value) for name, value in there.averages["encoder"].state().items())
    assert not all(torch.equal(first[name], value) for name, value in second.items())
    shards = tmp_path / "tiny" / "shards"
    words = ["--branch", "ada/run", "--shards", shards, "--lpips", "none", "--identity", "none"]
    script = [sys.executable, ROOT / "eval" / "em_rounds.py", *words, "--out", tmp_path / "rounds.json"]
    done = subprocess.run([*map(str, script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| round 1 |" in done.stdout and "| round 2 |" in done.stdout
    report = json.loads((tmp_path / "rounds.json").read_text())
    assert report["checkpoint"]["name"] == rounds[2]


def test_what_holds_no_rounds(hub, monkeypatch, data, tmp_path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    FaceSep.from_pretrained().push_to_hub("ada/model", branch="training")
    with pytest.raises(ConfigError, match="no checkpoints/<round> on 'training'"):
        pushed_rounds("ada/model")
    with pytest.raises(HubError, match="no revision 'other'"):
        pushed_rounds("ada/model@other")
    with pytest.raises(ConfigError, match="at least 1"):
        pushed_rounds("ada/model", every=0)
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        FaceSep.from_pretrained("ada/model:checkpoints/001")


def test_a_hub_that_is_down_does_not_stop_training(monkeypatch, data, tmp_path, caplog):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    publisher = Publisher("ada/run")
    run = trainer(data, tmp_path / "run", publisher, PHASES[:2])
    run.begin()
    run.run()
    publisher.wait()
    assert "round 1 is not on the Hub, training goes on" in caplog.text
    again = trainer(data, tmp_path / "run", phases=PHASES[:2])
    again.resume()
    assert again.phase == 2
    with pytest.raises(HubError):
        fetch_state("ada/run", tmp_path / "fetched")


def test_a_slow_hub_does_not_hold_training(hub, monkeypatch, data, tmp_path):
    """The run ends, and clears its checkpoints away, before the first upload is allowed to go on."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    gate = threading.Event()

    def slow(checkpoint, *arguments, **options):
        assert gate.wait(60)
        return push_round(checkpoint, *arguments, **options)

    monkeypatch.setattr("facesep.training.publish.push_round", slow)
    publisher = Publisher("ada/run")
    run = trainer(data, tmp_path / "run", publisher)
    run.checkpoints.keep = 1
    run.begin()
    run.run()
    (left,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert int(left.name) == run.total and "ada/run" not in hub.repos
    gate.set()
    publisher.wait()
    files = HfApi().list_repo_files("ada/run", revision="training")
    assert {"checkpoints/001/config.json", "checkpoints/002/config.json"} < set(files)
    fetched = json.loads((fetch_state("ada/run", tmp_path / "fetched") / "progress.json").read_text())
    assert fetched["round"] == 2, "rounds arrive in their order"


def test_what_is_not_a_run_is_refused(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(ConfigError, match="user/repo"):
        Publisher("no repository")
    FaceSep.from_pretrained().push_to_hub("ada/model", branch="training")
    with pytest.raises(CheckpointError, match="no training state"):
        fetch_state("ada/model", tmp_path / "state")


def test_the_script_tells_folders_from_repositories(hub, monkeypatch, tmp_path):
    em = pytest.importorskip("facesep.train.em")
    assert em.find_state("latest", tmp_path) is None
    assert em.find_state(str(tmp_path), tmp_path) == tmp_path
    assert em.find_state("a/b/c", tmp_path) == Path("a/b/c")
    with pytest.raises(HubError):
        em.find_state("ada/absent", tmp_path)
