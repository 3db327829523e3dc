"""Training of a refiner: it learns, helps, and goes on where it was stopped."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_data import write_tiny

pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

from facesep.config import preset
from facesep.errors import CheckpointError, ConfigError
from facesep.evaluation.refinement import flicker, video_flicker
from facesep.images import to_image
from facesep.model import FaceSep
from facesep.refine import FaceRefiner
from facesep.training.refiner.config import RefinerConfig, load_refiner_config
from facesep.training.refiner.loop import RefinerTrainer
from facesep.training.refiner.networks import EstimatorConfig, UNetConfig
from facesep.training.refiner.pairs import Degradation, Pairs, degraded, gaussian_blur

ROOT = Path(__file__).parents[2]
TINY = RefinerConfig(
    size=32,
    estimator=EstimatorConfig(channels=24, depths=(2,), heads=2, window=2, ratio=2),
    unet=UNetConfig(channels=(16, 32), layers=1, attention=0, head=8, groups=8),
    degradation=Degradation(shrink=4.0, blur=60.0, noise=0.0, tint=0.0),
    levels=200,
    steps=200,
    batch_size=6,
    learning_rate=3e-3,
    warmup=10,
    ema=0.98,
    bf16=False,
    log_every=50,
    save_every=100,
    refine_steps=5,
    start=40,
    eta=0.0,
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("heads"))[0]


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_training_lowers_the_loss_and_helps_a_blurred_picture(shards, tmp_path):
    pairs = Pairs(shards, "train", 32)
    trainer = RefinerTrainer(TINY, pairs, tmp_path, pairs)
    trainer.run()
    lines = [line for line in log(tmp_path) if "noise" in line]
    assert lines[-1]["noise"] < 0.5 * lines[0]["noise"]
    assert lines[-1]["estimate"] < 0.5 * lines[0]["estimate"]
    refiner = trainer.refiner()
    sharp = pairs.sharp.float() / 255
    soft = torch.stack([gaussian_blur(image, 1.6) for image in sharp])
    before, after = ((x - sharp).abs().mean() for x in (soft, refiner.refine(soft)))
    assert after < 0.95 * before
    edges = lambda x: (x[..., 1:] - x[..., :-1]).abs().amax(-1).mean()  # noqa: E731
    assert edges(refiner.refine(soft)) > edges(soft)
    # a still video stays still only with shared noise; a moving one flickers less with it
    frames = [to_image(soft[0].roll(k, -1)) for k in range(5)]
    found = video_flicker(refiner, frames, steps=5)
    assert found["shared"] < found["fresh"]
    still = video_flicker(refiner, [frames[0]] * 3, steps=5)
    assert still["shared"] == 0 < still["fresh"]


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_numbers(shards, tmp_path):
    short = dataclasses.replace(TINY, steps=8, save_every=4, keep=1)
    pairs = Pairs(shards, "train", 32)
    whole = RefinerTrainer(short, pairs, tmp_path / "whole")
    whole.run()
    stopped = RefinerTrainer(short, pairs, tmp_path / "stopped")
    while stopped.step < 4:
        stopped.learn(stopped.step)
        stopped.step += 1
    stopped.save()
    later = RefinerTrainer(short, pairs, tmp_path / "stopped")
    later.resume()
    assert later.step == 4
    later.run()
    for key, value in whole.average.values.items():
        torch.testing.assert_close(later.average.values[key], value, rtol=0, atol=0)
    assert [p.name for p in (tmp_path / "stopped" / "checkpoints").iterdir()] == ["00000008"]
    other = RefinerTrainer(
        dataclasses.replace(short, unet=UNetConfig(channels=(16, 16), head=8, groups=8)), pairs, tmp_path
    )
    with pytest.raises(CheckpointError, match="another unet"):
        other.resume(tmp_path / "stopped" / "checkpoints" / "00000008")
    with pytest.raises(CheckpointError, match="nothing to resume"):
        other.resume()


def test_a_full_disk_costs_one_checkpoint_and_no_more(shards, tmp_path, monkeypatch, caplog):
    trainer = RefinerTrainer(dataclasses.replace(TINY, keep=1), Pairs(shards, "train", 32), tmp_path)
    trainer.save()

    def full(tensors: dict, path: str) -> None:
        Path(path).write_bytes(b"the part that still had room")
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("facesep.training.checkpoint.save_file", full)
        trainer.step = 1
        trainer.save()
    assert "no checkpoint at step 1, training goes on: No space" in caplog.text
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["00000000"]
    trainer.resume()
    assert trainer.step == 0


@pytest.mark.slow
def test_the_script_trains_on_renders_and_the_result_serves_a_model(shards, tmp_path):
    torch.manual_seed(0)
    FaceSep(preset("tiny")).save_pretrained(tmp_path / "model")
    config = tmp_path / "run.yaml"
    config.write_text(
        "{size: 32, estimator: {channels: 12, depths: [1], heads: 2, window: 2}, bf16: false, "
        "unet: {channels: [8, 8], layers: 1, attention: 1, head: 8, groups: 8}, batch_size: 2, "
        "steps: 3, save_every: 3, log_every: 1, levels: 100, start: 50, refine_steps: 2}"
    )
    script = ["train/refiner.py", "--config", config, "--shards", shards, "--out", tmp_path / "run"]
    options = ["--checkpoint", tmp_path / "model"]
    done = run(*script, *options)
    assert done.returncode == 0, done.stderr
    last = log(tmp_path / "run")[-1]
    assert {"val_soft", "val_estimate", "val_refined"} <= set(last)
    again = run(*script, *options, "--resume_from_checkpoint", "latest", "--set", "steps=4")
    assert again.returncode == 0, again.stderr
    assert log(tmp_path / "run")[-1]["step"] == 4
    refiner = FaceRefiner.from_pretrained(tmp_path / "run" / "refiner")
    assert refiner.config.start == 50 and refiner.about["run"]["steps"] == 4
    wrong = run(*script, "--set", "start=200")
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: levels")
    measured = run(
        "eval/refinement.py", "--checkpoint", tmp_path / "model", "--refiner", tmp_path / "run" / "refiner",
        "--shards", shards, "--identity", "none", "--calls", "1,2", "--frames", "3",
        "--out", tmp_path / "curve.json", "--plot", tmp_path / "curve.png",
    )  # fmt: skip
    assert measured.returncode == 0, measured.stderr
    report = json.loads((tmp_path / "curve.json").read_text())
    assert [(row["picture"], row["calls"]) for row in report["rows"]] == [
        ("render", 0),
        ("estimator alone", 0),
        ("refined", 1),
        ("refined", 2),
    ]
    for row in report["rows"][1:]:
        assert row["L1 low"] <= row["L1 change"] <= row["L1 high"]
        assert row["L1 change"] == pytest.approx(row["L1"] - report["rows"][0]["L1"])
    assert report["flicker"]["shared"] >= 0
    assert str(tmp_path) not in report["command"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)


def test_the_diffusion_network_reads_photos_alone(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(Pairs, "batch", None)  # makes pictures soft, for nobody
    unet = UNetConfig(channels=(16, 32), layers=1, attention=1, head=8, groups=8)
    config = dataclasses.replace(TINY, estimator=EstimatorConfig(depths=()), unet=unet, steps=1)
    RefinerTrainer(config, Pairs(shards, "train", 32), tmp_path).run()
    assert set(log(tmp_path)[0]) == {"step", "steps", "images_per_second", "processes", "skipped", "noise"}


def test_pairs(shards):
    pairs = Pairs(shards, "train", 32)
    generator = torch.Generator().manual_seed(0)
    soft, sharp = pairs.batch(6, TINY.degradation, 0.5, generator)
    assert soft.shape == sharp.shape == (6, 3, 32, 32)
    assert (sharp[..., 0, 0] == 1).all(), "heads stand on white"
    assert soft.min() >= 0 and soft.max() <= 1 and 0.005 < (soft - sharp).abs().mean() < 0.2
    first = pairs.fixed(2, TINY.degradation)
    for a, b in zip(first, pairs.fixed(2, TINY.degradation), strict=True):
        assert torch.equal(a, b)
    photos = pairs.photos(6, torch.Generator().manual_seed(0))
    known = torch.cat((pairs.sharp, pairs.sharp.flip(-1)))
    assert all(any(torch.equal((x * 255).round().byte(), k) for k in known) for x in photos)
    assert pairs.photos(6, torch.Generator().manual_seed(0)).equal(photos)
    assert len(Pairs(shards, "train", 32, limit=2)) == 2
    rendered = Pairs(shards, "train", 32, FaceSep(preset("tiny")))
    soft, sharp = rendered.batch(4, TINY.degradation, 1.0, torch.Generator().manual_seed(1))
    known = torch.cat((rendered.renders, rendered.renders.flip(-1)))
    assert all(any(torch.equal((x * 255).round().byte(), k) for k in known) for x in soft)


def test_degradation():
    sharp = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    nothing = Degradation(shrink=1.0, blur=0.0, noise=0.0, tint=0.0)
    same = degraded(sharp, nothing, torch.Generator().manual_seed(0))
    torch.testing.assert_close(same, sharp, rtol=0, atol=1e-6)
    point = torch.zeros(3, 33, 33)
    point[:, 16, 16] = 1
    blurred = gaussian_blur(point, 2.0)
    assert blurred.sum().item() == pytest.approx(3, rel=1e-4)
    offsets = torch.arange(33.0) - 16
    variance = (blurred[0].sum(0) * offsets**2).sum().item()
    assert variance == pytest.approx(4, rel=0.03)
    flat = torch.full((3, 32, 32), 0.4)
    torch.testing.assert_close(gaussian_blur(flat, 3.0), flat)


def test_flicker_is_the_change_of_what_was_added():
    frames = torch.rand(4, 3, 8, 8)
    assert flicker(frames, frames + 0.1) == pytest.approx(0, abs=1e-6)
    steps = torch.tensor([0.0, 0.1, 0.2, 0.3])[:, None, None, None]
    assert flicker(frames, frames + steps) == pytest.approx(0.1, abs=1e-6)


def test_configurations_are_checked(tmp_path):
    assert load_refiner_config("refiner") == RefinerConfig()
    assert load_refiner_config("refiner_mini").size == 128
    for wrong in (
        "start=700",
        "size=100",
        "unet.groups=7",
        "unet.head=48",
        "steps=0",
        "nonsense=1",
        "refine_steps=300",
    ):
        with pytest.raises(ConfigError):
            load_refiner_config("refiner", [wrong])
