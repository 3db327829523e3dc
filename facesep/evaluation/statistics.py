"""Means over people with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REPEATS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its interval."""

    value: float
    low: float
    high: float


def per_person(values: np.ndarray, people: Sequence[str]) -> np.ndarray:
    """Mean of each person's photos: somebody with many photos counts once.

    Args:
        values: ``[N]``, NaN where there is no value.
        people: who is on each photo.

    Returns:
        ``[P]`` in the order of first appearance, without people who have no value at all.
    """
    groups: dict[str, list[float]] = {}
    for value, person in zip(np.asarray(values, np.float64).tolist(), people, strict=True):
        if not np.isnan(value):
            groups.setdefault(person, []).append(value)
    return np.array([np.mean(group) for group in groups.values()])


def estimate(
    values: np.ndarray, people: Sequence[str], *, repeats: int = REPEATS, seed: int = 0
) -> Estimate | None:
    """Mean over people with a 95 % percentile bootstrap interval (Efron, 1979).

    People are drawn with replacement; whatever else went into the values (a gallery of other people,
    the weights) stays as it is, so the interval says how much the choice of people matters.

    Args:
        values: ``[N]``, NaN where there is no value.
        people: who is on each photo.
        repeats: bootstrap samples.
        seed: of the samples.

    Returns:
        None if there is no value.
    """
    means = per_person(values, people)
    if not len(means):
        return None
    value = float(means.mean())
    if not np.isfinite(means).all():
        return Estimate(value, value, value)
    draws = np.random.default_rng(seed).integers(0, len(means), (repeats, len(means)))
    low, high = np.quantile(means[draws].mean(1), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(value, float(low), float(high))
