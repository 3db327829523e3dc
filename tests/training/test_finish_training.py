"""Training of the Finish network: pairs, losses, and a run that goes on to the same bits."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from facesep import FaceSep
from facesep.data.portraits import PortraitSource
from facesep.detail.round_trip import round_trip, steps
from facesep.errors import DataError
from facesep.nets.finish import Draft, share
from facesep.training.finish import pairs
from facesep.training.finish.batches import WINDOW, Batch, Batches, batch_of, whole_pair
from facesep.training.finish.training import FinishTraining, terms

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
SIZE = 256


@pytest.fixture(scope="module")
def sep() -> FaceSep:
    return FaceSep.from_pretrained()


@pytest.fixture(scope="module")
def work(sep, tmp_path_factory) -> Path:
    """Two pairs of a photo, in both splits."""
    folder = tmp_path_factory.mktemp("pairs")
    face, donor = (sep.portrait(PHOTOS / name) for name in ("london_099.jpg", "london_101.jpg"))
    for number, kind in enumerate(("turn", "turn and hair")):
        made = round_trip(sep, face, donor, kind, random.Random(number), SIZE)
        for split in ("train", "val"):
            (folder / split).mkdir(exist_ok=True)
            pairs.write_pair(folder / split / f"{number:05d}.npz", *made)
    return folder


def test_a_pair_shows_the_photo_and_lacks_what_was_hidden(work):
    pair = whole_pair(work / "train" / "00000.npz")
    head = pair.matte > 0.9
    sure, unsure = (head & part for part in (pair.draft.confidence > 0.99, pair.draft.confidence < 0.1))
    assert sure.float().sum() > 0.3 * head.sum() and unsure.float().sum() > 0.05 * head.sum()
    away = (pair.draft.colours - pair.colours).abs().mean(1, keepdim=True)
    assert away[sure].mean() < 0.03 < away[unsure].mean()


def test_the_same_numbers_make_the_same_pair(sep, work):
    face = sep.portrait(PHOTOS / "london_099.jpg")
    again = round_trip(sep, face, face, "turn", random.Random(0), SIZE)
    before = whole_pair(work / "train" / "00000.npz")
    torch.testing.assert_close(again[0].colours, before.draft.colours, atol=1 / 255, rtol=0)


def test_batches_follow_from_their_numbers_and_hide_more(work):
    batches = Batches(work)
    one, two = (batches(6, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.draft.colours, two.draft.colours)
    assert one.colours.shape == (6, 3, WINDOW, WINDOW)
    assert one.draft.points.shape[-1] == WINDOW // 4
    assert not torch.equal(one.colours, batches(6, np.random.default_rng(4)).colours)
    assert (share(one.draft.confidence) * one.matte).flatten(1).mean(1).min() > 0


def test_no_pairs_no_batches(tmp_path):
    with pytest.raises(DataError, match="prepare"):
        Batches(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "00000.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="damaged"):
        whole_pair(tmp_path / "train" / "00000.npz")


def test_losses_are_zero_for_the_truth_and_blind_to_what_is_sure():
    torch.manual_seed(0)
    batch = batch_of(torch.rand(2, 17, 96, 96), torch.zeros(2, 3, 24, 24))
    assert all(value == 0 for value in terms(batch.colours, batch, None).values())
    finished = torch.rand(2, 3, 96, 96)
    other = torch.where(batch.draft.confidence > 0.9, torch.rand_like(finished), finished)
    for name, value in terms(finished, batch, None).items():
        assert value > 0 and torch.equal(value, terms(other, batch, None)[name])


def test_the_energy_of_a_step_is_its_height():
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = 0.5
    assert float(steps(image).sum()) == pytest.approx(8 * 0.5)


def test_a_grid_is_no_texture():
    """What stands in for texture without being it costs more than nothing does."""
    torch.manual_seed(0)
    texture = 0.5 + 0.1 * torch.randn(1, 3, 96, 96)
    draft = Draft(*(torch.zeros(1, c, 96, 96) for c in (3, 1, 1, 1, 3, 3, 1)), torch.zeros(1, 3, 24, 24))
    batch = Batch(draft, texture, torch.ones(1, 1, 96, 96))
    flat = torch.full_like(texture, 0.5)
    grid = flat.clone()
    grid[..., ::4] += 0.1
    assert terms(grid, batch, None)["edges"] > terms(flat, batch, None)["edges"]


def test_a_stopped_run_ends_like_one_that_was_not(work, tmp_path):
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        for split in ("train", "val"):
            (tmp_path / name / split).symlink_to(work / split, target_is_directory=True)
    whole = FinishTraining(tmp_path / "whole", 0, steps=4, images=2, save_every=2)
    whole.run()
    first = FinishTraining(tmp_path / "stopped", 0, steps=4, images=2, save_every=2)
    while first.step < 2:
        first.learn(first.step)
        first.step += 1
    first.save()
    later = FinishTraining(tmp_path / "stopped", 0, steps=4, images=2, save_every=2)
    assert later.step == 2
    later.run()
    for key, value in whole.average.values.items():
        assert torch.equal(later.average.values[key], value), key
    assert (tmp_path / "stopped" / "finish.safetensors").is_file()


def test_only_sharp_photos_of_the_split_are_taken(monkeypatch):
    rows = {
        f"{group}/{k}": {"split": split, "good_at_256": sharp, "person": f"{group}{k}"}
        for group in ("a", "b")
        for k, (split, sharp) in enumerate((("train", "1"), ("train", "0"), ("val", "1")))
    }
    monkeypatch.setattr(PortraitSource, "__init__", lambda self, root: None)
    source = PortraitSource("nowhere")
    source.__dict__["rows"] = rows
    assert pairs.names_of(source, "train", ["b"]) == ["a/0"]
    assert sorted(pairs.names_of(source, "val", [])) == ["a/2", "b/2"]
