"""Expression transfer: moves by hand, pairs, and the whole path with a tool that knows the answer."""

from __future__ import annotations

import numpy as np
import pytest
from credited import SIZE

from facesep import FaceSep
from facesep.data.heads import ShardPhotos
from facesep.evaluation import expression
from facesep.evaluation.expression import moves


def test_moves_by_hand():
    base, donor = np.zeros((4, 2)), np.tile([2.0, 0.0], (4, 1))
    before = np.tile([0.5, 1.0], (4, 1))
    after = np.array([[1.5, 1.0], [0.5, 1.0], [-0.5, 1.0], [np.nan, np.nan]])
    found = moves(before, after, base, donor)
    assert found.towards.tolist() == [1, 0, 0, 0]
    np.testing.assert_allclose(found.way, [0.5, 0, -0.5, np.nan])


def test_noise_gives_half():
    rng = np.random.default_rng(0)
    base, donor = np.zeros((4000, 2)), np.ones((4000, 2))
    before, after = rng.normal(size=(2, 4000, 2))
    found = moves(before, after, base, donor)
    assert found.towards.mean() == pytest.approx(0.5, abs=0.03)
    assert found.way.mean() == pytest.approx(0.0, abs=0.05)


def test_pairs(shards):
    ((neutral, smiling),) = expression.pairs(ShardPhotos(shards, "val", SIZE))
    assert (neutral.name, smiling.name) == ("london_101", "gsa_smiling")


class Oracle:
    """Says that donors' mouths are at 1, bases' at 0, and renders where they are told to be."""

    name = "oracle"

    def __init__(self, before, after, own):
        self.told = before, after, own

    def mouths(self, images):
        count = len(images) // 5
        per_picture = [*self.told, np.zeros(count), np.ones(count)]
        columns = [np.broadcast_to(np.asarray(v, float), (count,)) for v in per_picture]
        return np.stack((np.concatenate(columns),) * 2, 1)


def test_the_whole_path(shards, checkpoint):
    sep = FaceSep.from_pretrained(checkpoint)
    pairs = expression.pairs(ShardPhotos(shards, "val", sep.image_size))
    pictures = expression.transfers(sep, pairs)
    assert [one.direction for one in pictures] == ["neutral to smiling", "smiling to neutral"]
    codes = [sep.encode(photo.aligned) for photo in pairs[0]]
    expected = sep.render(codes[0].replace(expression=codes[1].expression))
    assert pictures[0].after.tobytes() == expected.tobytes() != pictures[0].before.tobytes()
    assert pictures[0].donor_render.tobytes() == pictures[1].before.tobytes()
    found, photos = expression.summarise(pictures, Oracle([0.2, 0.1], [0.6, np.nan], 0.9))
    assert [one.direction for one in found] == ["neutral to smiling", "smiling to neutral", "both"]
    assert [one.towards.value for one in found] == [1, 0, 0.5]
    assert [one.found for one in found] == [1, 0, 0.5]
    assert found[0].way.value == pytest.approx(0.4) and found[1].way is None
    assert found[2].own_way.value == pytest.approx((0.7 + 0.8) / 2) and photos == 1.0
    table = expression.rows(found, photos)
    assert table[0]["towards the donor"] == "100 % (100 % to 100 %)" and table[1]["way"] is None
