"""Per-image fitting: it descends, keeps codes valid, and leaves the decoder alone."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from facesep import FaceSep
from facesep.data.heads import ShardPhotos
from facesep.errors import ConfigError
from facesep.evaluation import fitting
from facesep.evaluation.bench.rounds import Timing
from facesep.evaluation.bench.steps import ALIGNING, BOTH, Speed, fps_rows, frames_per_second
from facesep.evaluation.fitting import Recipe, fit
from facesep.faces import Aligned


@pytest.fixture(scope="module")
def model(checkpoint) -> FaceSep:
    return FaceSep.from_pretrained(checkpoint)


def test_it_descends_towards_the_photo(model, shards):
    photos = ShardPhotos(shards, "val", model.image_size)
    mean = fitting.mean_codes(model, photos)
    assert mean.shape.norm().item() == pytest.approx(512**0.5, rel=1e-4)
    expected = torch.stack([model.encode(p.aligned).texture for p in photos]).mean(0)
    torch.testing.assert_close(mean.texture, expected, atol=1e-5, rtol=1e-4)
    photo = photos.read(0)
    before = [p.clone() for p in model.decoder.parameters()]
    steps = []
    found = fit(model, photo, Recipe(25), mean, on_step=steps.append)
    assert found.losses[-1] < found.losses[0] - 1e-3 and len(found.losses) == 26 and steps[-1] == 25
    assert found.losses[-1] == pytest.approx((found.image - photo.target).abs().mean().item(), abs=1e-6)
    assert found.codes.shape.norm().item() == pytest.approx(512**0.5, rel=1e-4)
    assert found.seconds > 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.decoder.parameters(), strict=True))
    assert not any(p.requires_grad for p in model.decoder.parameters())


def test_a_render_of_the_start_needs_no_fit(model, shards):
    photo = ShardPhotos(shards, "val", model.image_size).read(0)
    codes = model.encode(photo.aligned)
    target = model.render(codes, output="tensor")
    same = SimpleNamespace(aligned=photo.aligned, target=target)
    found = fit(model, same, Recipe(1, rate=1e-9, start="encoder"))
    assert max(found.losses) < 1e-5


def test_recipes_that_make_no_sense(model):
    size = model.image_size
    aligned = Aligned.of_crop(Image.new("RGB", (size, size)), np.zeros((5, 2)))
    photo = SimpleNamespace(aligned=aligned, target=torch.rand(3, size, size))
    for recipe, words in (
        (Recipe(0), "at least one step"),
        (Recipe(start="magic"), "a start from"),
        (Recipe(), "needs them"),
    ):
        with pytest.raises(ConfigError, match=words):
            fit(model, photo, recipe)


def test_seconds_and_frames_per_second(tmp_path):
    with pytest.raises(ConfigError, match="no fits"):
        fitting.mean_seconds(tmp_path)
    for rank, seconds in enumerate((2.0, 4.0)):
        lines = [json.dumps([f"a{rank}", {"seconds": seconds}]), json.dumps([f"b{rank}", None])]
        (tmp_path / f"fit.{rank}.jsonl").write_text("\n".join(lines) + '\n["cut sho')
    mean = fitting.mean_seconds(tmp_path)
    assert mean == 3.0
    speed = Speed({BOTH: Timing([0.1, 0.2, 0.3]), ALIGNING: Timing([0.3])}, Timing([1.0]), {})
    rates = frames_per_second(speed, {"fitted": mean})
    assert [round(value, 6) for value in rates.values()] == [5.0, 2.0, 0.333333]
    rows = fps_rows(rates)
    assert rows[0] == {"method": "facesep, from the aligned crop", "FPS": "5", "seconds a photo": "0.2"}
    assert {"method": "paper: HeadNeRF", "FPS": "0.031", "seconds a photo": "32.3"} in rows
