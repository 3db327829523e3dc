"""Ranks on constructed embeddings and by brute force; the embedding on credited photos."""

from __future__ import annotations

import numpy as np
import pytest
from credited import crop_and_label
from PIL import Image, ImageEnhance

from facesep.errors import ConfigError
from facesep.evaluation.identity import SAME_PERSON, rank


def on_a_line(*places: float) -> np.ndarray:
    return np.array(places, np.float64)[:, None]


def test_perfect_pictures_are_nearest_of_all():
    photos = on_a_line(*range(30))
    found = rank(photos + 0.1, photos, [str(i) for i in range(30)])
    np.testing.assert_allclose(found.distance, 0.1)
    assert found.nearest.all() and found.among_nearest.all() and found.same.all()


def test_places_in_a_queue():
    """Photos at 1..41, every picture at 0: photo k is farther than k - 1 of the 40 others."""
    people = [str(i) for i in range(41)]
    found = rank(np.zeros((41, 1)), on_a_line(*range(1, 42)), people)
    np.testing.assert_allclose(found.farther, (40 - np.arange(41)) / 40)
    assert found.nearest.tolist() == [1] + [0] * 40
    assert found.among_nearest.tolist() == [1] * 3 + [0] * 38  # 40, 39 and 38 of 40 are farther
    assert not found.same.any() and SAME_PERSON == 0.6


def test_one_picture_for_all_scores_by_chance():
    photos = np.random.default_rng(0).normal(size=(200, 8))
    found = rank(np.tile(photos.mean(0), (200, 1)), photos, [str(i) for i in range(200)])
    assert found.nearest.sum() == 1 and found.among_nearest.sum() == 10


def test_ties_are_not_farther():
    found = rank(on_a_line(0, 0), on_a_line(1, -1), ["a", "b"])
    assert found.farther.tolist() == [0, 0]


def test_other_people_count_once_and_by_their_nearest_photo():
    pictures, people = on_a_line(0, 5, 9, 0), ["a", "b", "b", "c"]
    photos = on_a_line(2, 1, 3, 7)
    found = rank(pictures, photos, people)
    # a: own photo at 2, b's nearest at 1, c at 7: one of two people is farther.
    assert found.farther[0] == 0.5
    # The first b: own at 1, distance 4; a at 2, distance 3; c at 7, distance 2. b's other photo has no say.
    assert found.farther[1] == 0.0


def test_brute_force():
    rng = np.random.default_rng(4)
    people = [str(i) for i in rng.integers(0, 8, 20)]
    pictures, photos = rng.normal(size=(20, 4)), rng.normal(size=(20, 4))
    found = rank(pictures, photos, people)
    for i in range(20):
        own = np.linalg.norm(pictures[i] - photos[i])
        others = {p for p in people if p != people[i]}
        beaten = sum(
            all(np.linalg.norm(pictures[i] - photos[j]) > own for j in range(20) if people[j] == p)
            for p in others
        )
        assert found.distance[i] == pytest.approx(own)
        assert found.farther[i] == pytest.approx(beaten / len(others))


def test_missing_pictures_stay_missing():
    found = rank(on_a_line(np.nan, 2), on_a_line(1, 2), ["a", "b"])
    for values in (found.distance, found.farther, found.same, found.among_nearest, found.nearest):
        assert np.isnan(values[0]) and not np.isnan(values[1])


def test_one_person_cannot_be_ranked():
    with pytest.raises(ConfigError, match="two people"):
        rank(on_a_line(1, 2), on_a_line(1, 2), ["a", "a"])


def test_embedding_tells_people_apart():
    pytest.importorskip("dlib")
    from facesep.evaluation.identity import DlibIdentity

    identity = DlibIdentity()
    crops = {name: crop_and_label(name)[0] for name in ("london_101", "london_099", "gsa_smiling")}
    embedded = {name: identity.embed(crop) for name, crop in crops.items()}
    for name, crop in crops.items():
        changed = ImageEnhance.Brightness(crop).enhance(0.8).rotate(5, Image.BICUBIC, fillcolor="white")
        same = np.linalg.norm(identity.embed(changed) - embedded[name])
        others = [np.linalg.norm(embedded[name] - vector) for n, vector in embedded.items() if n != name]
        assert same < 0.3 and min(others) > SAME_PERSON
