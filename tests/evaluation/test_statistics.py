"""Means over people and their intervals, against brute force and a known distribution."""

from __future__ import annotations

import numpy as np
import pytest

from facesep.evaluation.statistics import estimate, per_person


def test_people_are_the_units():
    values, people = np.array([1.0, 0.0, 0.0, 1.0, np.nan]), ["a", "b", "b", "b", "c"]
    assert per_person(values, people).tolist() == [1.0, pytest.approx(1 / 3)]
    doubled = estimate(np.repeat(values, 2), np.repeat(people, 2).tolist(), seed=3)
    assert doubled == estimate(values, people, seed=3)
    assert doubled.value == pytest.approx(2 / 3)


def test_no_value_no_estimate():
    assert estimate(np.array([np.nan, np.nan]), ["a", "b"]) is None


def test_equal_values_leave_no_doubt():
    found = estimate(np.full(7, 0.3), list("abcdefg"))
    assert (found.low, found.value, found.high) == pytest.approx((0.3, 0.3, 0.3))


def test_infinite_values_stay_infinite():
    assert estimate(np.array([np.inf, np.inf]), ["a", "b"]).low == np.inf


def test_interval_of_a_known_distribution():
    """Its width is that of the normal approximation, and it holds the truth about 95 times in 100."""
    rng = np.random.default_rng(0)
    people = [str(i) for i in range(60)]
    widths, hits = [], 0
    for trial in range(200):
        found = estimate(rng.normal(2.0, 3.0, 60), people, repeats=400, seed=trial)
        widths.append(found.high - found.low)
        hits += found.low <= 2.0 <= found.high
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 3.0 / np.sqrt(60), rel=0.05)
    assert 180 <= hits <= 198


def test_seeds_repeat():
    values, people = np.random.default_rng(1).random(20), [str(i % 9) for i in range(20)]
    assert estimate(values, people, seed=5) == estimate(values, people, seed=5)
    assert estimate(values, people, seed=5) != estimate(values, people, seed=6)
