"""Means over people with bootstrap intervals, and tables of them."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

REPEATS = 2000
LEVEL = 0.95

Writer = Callable[[float], str]
Row = dict[str, Any]


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its interval."""

    value: float
    low: float
    high: float

    def text(self, write: Writer, interval: bool = True) -> str:
        """The mean as text, with its interval in brackets if that is wanted."""
        if np.isinf(self.value):
            return "infinite"
        return write(self.value) + (f" ({write(self.low)} to {write(self.high)})" if interval else "")


Summary = dict[str, dict[str, Estimate]]
"""Estimates by row and column of a table."""


def percent(share: float) -> str:
    """A share in 0..1 as text."""
    return f"{100 * share:.0f} %"


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


def draws(count: int, repeats: int = REPEATS, seed: int | np.random.Generator = 0) -> np.ndarray:
    """Bootstrap samples: ``[repeats, count]`` indices of units, drawn with replacement."""
    return np.random.default_rng(seed).integers(0, count, (repeats, count))


def interval(value: float, samples: np.ndarray) -> Estimate:
    """A value with the 95 % percentile interval of its bootstrap samples (Efron, 1979)."""
    low, high = np.quantile(samples, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(float(value), float(low), float(high))


def estimate(
    values: np.ndarray, people: Sequence[str], *, repeats: int = REPEATS, seed: int = 0
) -> Estimate | None:
    """Mean over people with a 95 % percentile bootstrap interval.

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
    if not np.isfinite(means).all():
        return Estimate(*[float(means.mean())] * 3)
    return interval(means.mean(), means[draws(len(means), repeats, seed)].mean(1))


@dataclass(frozen=True)
class Scores:
    """Values of each photo.

    Attributes:
        people: ``N`` names.
        metas: what is known about each photo.
        values: ``{method: {column: [N]}}``, NaN where there is no value.
        refused: photos that could not be used.
        names: of the photos.
    """

    people: list[str]
    metas: list[dict[str, Any]]
    values: dict[str, dict[str, np.ndarray]]
    refused: int = 0
    names: list[str] = field(default_factory=list)

    def summary(self, seed: int = 0) -> Summary:
        """Estimates over people; columns without any value are left out, and so are methods."""
        found = {
            method: {
                column: one
                for column, values in columns.items()
                if (one := estimate(values, self.people, seed=seed)) is not None
            }
            for method, columns in self.values.items()
        }
        return {method: columns for method, columns in found.items() if columns}

    def part(self, rows: Sequence[int], methods: Sequence[str]) -> Scores:
        """Some photos and methods alone."""
        return Scores(
            [self.people[row] for row in rows],
            [self.metas[row] for row in rows],
            {name: {c: v[list(rows)] for c, v in self.values[name].items()} for name in methods},
        )

    def by_label(self, method: str, key: str, missing: str = "not labelled") -> dict[str, Scores]:
        """A method's scores for each value of a label of the photos, such as ``set`` or ``expression``."""
        groups: dict[str, list[int]] = {}
        for row, meta in enumerate(self.metas):
            groups.setdefault(str(meta.get(key) or missing), []).append(row)
        return {label: self.part(rows, [method]) for label, rows in sorted(groups.items())}


def summary_rows(
    summary: Mapping[str, Mapping[str, Any]],
    label: str,
    columns: Mapping[str, Writer],
    intervals: Container[str] | None = None,
) -> list[Row]:
    """Rows of a table.

    Args:
        summary: estimates (or what is shown as it is) by row and column.
        label: heading of the first column.
        columns: how the numbers of each column are written; columns that no row has are left out.
        intervals: rows that are shown with their intervals, by default all.
    """
    shown = [name for name in columns if any(name in one for one in summary.values())]

    def cell(row: str, column: str) -> Any:
        one = summary[row].get(column)
        if not isinstance(one, Estimate):
            return one
        return one.text(columns[column], intervals is None or row in intervals)

    return [{label: row, **{column: cell(row, column) for column in shown}} for row in summary]
