"""Does changing one attribute leave the others alone? The disentanglement score (Table 3 of the paper).

For each attribute i, sets of pictures are rendered in which only i varies: one photo's codes, and the code
of i from several other people. An estimator reads all attributes off the pictures. With ``s_ij`` the spread
of attribute j in sets where i varies, in units of its spread over real photos, the score is

    DS_i = product over j != i of s_ii / s_ij.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facesep.codes import Codes
from facesep.data.heads import PhotoSet
from facesep.errors import ConfigError, DataError
from facesep.evaluation.encoded import encode_all
from facesep.evaluation.estimators import Estimator, factors
from facesep.evaluation.paper import FACTORS, score_rows
from facesep.evaluation.report import table
from facesep.evaluation.runner import Processes, ResultLog, measure_units
from facesep.evaluation.statistics import Estimate, Row, Summary, draws, interval, percent, summary_rows
from facesep.model import FaceSep

TITLE = "Table 3: disentanglement score"
ATTRIBUTES = {
    "shape": ("shape",),
    "expression": ("expression",),
    "texture": ("texture",),
    "illumination": ("illumination",),
    "pose": ("rotation",),
}
"""Codes that vary together with each attribute; hair and the place of the head never do."""
SPREADS = ("variance", "distance")
"""Sum of variances over dimensions, or mean Euclidean distance of pairs."""
THIRD = 1 / 3
"""A side effect should be less than this share of the effect."""

NOTE = (
    "{sets} sets of {values} renders for each attribute; people and donors drawn from {photos} photos with "
    "seed {seed}. Spread: {spread}, in units of the spread over the photos themselves (heads on white). "
    "Attributes read by the {estimator}; pose is {pose}, and only the rotation code varies it. In brackets "
    "95 % bootstrap intervals over sets. Rows 'paper' come from other data and its own estimator, and the "
    "paper does not say how spreads were scaled: compare the order, not the numbers."
)
SIDE_EFFECTS_NOTE = (
    "Row: the attribute whose code is transferred. Column: how far another attribute, read off the renders, "
    "moves then, as a share of how far it moves when its own code is transferred (square root of the ratio "
    "of variances, or ratio of distances). Less than a third is the aim; {below} of {cells} are below it, "
    "{surely} with their whole interval. In brackets 95 % bootstrap intervals over sets. The estimator's own "
    "noise is in all of them."
)
MATRIX_NOTE = (
    "Row: the attribute whose code varies. Column: how much the attribute read off the renders varies, 1 as "
    "much as between the photos. A perfect model has about 1 where both are the same and 0 elsewhere; an "
    "estimator's own noise keeps the others above 0."
)


@dataclass(frozen=True)
class Plan:
    """How much is rendered.

    Attributes:
        sets: for each attribute.
        values: pictures in a set.
        seed: of the draws.
        spread: see ``SPREADS``.
        pose: see ``facesep.evaluation.estimators.POSES``.
    """

    sets: int = 100
    values: int = 10
    seed: int = 0
    spread: str = "variance"
    pose: str = "rotation"


@dataclass(frozen=True)
class Separation:
    """What was found.

    Attributes:
        sets: ``{attribute i: [S, 5]}`` normalised spreads of the five attributes in each set.
        photos: how many there were to draw from.
        kind: of the spreads, see ``SPREADS``.
    """

    sets: dict[str, np.ndarray]
    photos: int
    kind: str = "variance"


def spread_of(values: np.ndarray, kind: str) -> float:
    """Spread of ``[K, n]`` rows; rows of NaN are left out.

    Returns:
        The trace of the unbiased covariance, or the mean distance of pairs; NaN for fewer than two rows.
    """
    values = values[~np.isnan(values).any(1)].astype(np.float64)
    if len(values) < 2:
        return math.nan
    if kind == "variance":
        return float(values.var(0, ddof=1).sum())
    square = np.square(values).sum(1)
    pairs = square[:, None] + square[None] - 2 * values @ values.T
    return float(np.sqrt(pairs.clip(0)[np.triu_indices(len(values), 1)]).mean())


@torch.no_grad()
def measure(
    sep: FaceSep,
    photos: PhotoSet,
    estimator: Estimator,
    plan: Plan,
    log: ResultLog,
    processes: Processes,
    batch: int = 16,
    on_set: Callable[[int, int], object] | None = None,
) -> Separation | None:
    """Renders and reads all sets; a stopped run goes on where it was.

    Args:
        sep: the model.
        photos: people and donors.
        estimator: reads attributes.
        plan: how much.
        log: keeps what is done.
        processes: sets are dealt out to them.
        batch: photos encoded at a time, and sets read at a time (an external landmark tool starts once
            for each).
        on_set: called with the numbers of sets done and to do by this process.

    Returns:
        None in processes that do not report.

    Raises:
        ConfigError: for a plan that cannot be carried out.
        DataError: if the estimator reads nothing off the photos.
    """
    if plan.sets < 1 or plan.values < 2:
        raise ConfigError("a separation needs at least one set of two values")
    if plan.spread not in SPREADS:
        raise ConfigError(f"unknown spread {plan.spread!r}: choose from {', '.join(SPREADS)}")
    encoded = encode_all(sep, photos, batch)
    codes, people = encoded.codes, encoded.people
    if len(set(people)) < plan.values + 1:
        raise ConfigError(f"sets of {plan.values} values need photos of at least {plan.values + 1} people")
    reference = _reference(estimator, encoded.targets, plan)
    units = [(factor, number) for factor in FACTORS for number in range(plan.sets)]

    def measure_sets(places: Sequence[int]) -> list[list[float | None]]:
        pictures = torch.cat([_render_set(sep, codes, people, plan, *units[place]) for place in places])
        read = factors(estimator.estimate(pictures), plan.pose)
        records = []
        for row in range(len(places)):
            rows = slice(row * plan.values, (row + 1) * plan.values)
            spreads = [spread_of(read[name][rows], plan.spread) / reference[name] for name in FACTORS]
            records.append([value if math.isfinite(value) else None for value in spreads])
        return records

    keys = [f"{factor}-{number}" for factor, number in units]
    records = measure_units(keys, measure_sets, log, processes, batch, on_set)
    if records is None:
        return None
    sets = np.array([records[key] for key in keys], np.float64).reshape(len(FACTORS), plan.sets, -1)
    return Separation(dict(zip(FACTORS, sets, strict=True)), len(people), plan.spread)


def _reference(estimator: Estimator, targets: Tensor, plan: Plan) -> dict[str, float]:
    """Spread of each attribute over the photos."""
    read = factors(estimator.estimate(targets), plan.pose)
    found = {name: spread_of(read[name], plan.spread) for name in FACTORS}
    empty = [name for name, value in found.items() if not value > 0]
    if empty:
        raise DataError(f"the {estimator.name} reads no differences in {', '.join(empty)} off the photos")
    return found


def draw(people: Sequence[str], plan: Plan, factor: str, number: int) -> tuple[int, list[int]]:
    """The photo that a set is based on, and the donors: photos of different other people.

    The draw depends on the seed, the attribute and the number of the set alone.
    """
    random = np.random.default_rng([plan.seed, FACTORS.index(factor), number])
    base = int(random.integers(len(people)))
    donors, used = [], {people[base]}
    for row in random.permutation(len(people)).tolist():
        if people[row] not in used and len(donors) < plan.values:
            donors.append(row)
            used.add(people[row])
    return base, donors


def _render_set(
    sep: FaceSep, codes: Codes, people: Sequence[str], plan: Plan, factor: str, number: int
) -> Tensor:
    """``Tensor[K, 3, S, S]``: the base with the attribute of each donor."""
    base, donors = draw(people, plan, factor, number)
    changed = codes[[base] * len(donors)].swap(codes[donors], list(ATTRIBUTES[factor]))
    return sep.render(changed, output="tensor").float().cpu()


# -- scores -----------------------------------------------------------------------------------------


def matrix(found: Separation) -> np.ndarray:
    """``[5, 5]``: mean normalised spread of attribute j (column) where i (row) varies."""
    return np.stack([np.nanmean(found.sets[factor], 0) for factor in FACTORS])


def side_effects(found: Separation, seed: int = 0) -> Summary:
    """How far attribute j moves where i varies, as a share of how far it moves where j itself varies.

    Distances, so square roots of the ratio of variances if spreads are variances. Intervals: sets of both
    are drawn with replacement, independently.
    """
    power = 0.5 if found.kind == "variance" else 1.0
    random = np.random.default_rng(seed)
    sets = found.sets
    resampled = {name: np.nanmean(sets[name][draws(len(sets[name]), seed=random)], 1) for name in FACTORS}
    spreads = matrix(found)
    result: Summary = {}
    for row, varied in enumerate(FACTORS):
        result[varied] = {}
        for column, moved in enumerate(FACTORS):
            if row != column:
                many = (resampled[varied][:, column] / resampled[moved][:, column]) ** power
                value = (spreads[row, column] / spreads[column, column]) ** power
                result[varied][moved] = interval(value, many)
    return result


def score(spreads: np.ndarray, own: int) -> float:
    """DS of one attribute from the mean spreads ``[5]`` of all."""
    others = np.delete(spreads, own)
    with np.errstate(divide="ignore"):
        return float(np.prod(spreads[own] / others))


def scores(found: Separation, seed: int = 0) -> dict[str, Estimate]:
    """DS of each attribute, with intervals over sets."""
    result = {}
    for row, factor in enumerate(FACTORS):
        sets = found.sets[factor]
        sets = sets[~np.isnan(sets).any(1)]
        if not len(sets):
            continue
        many = [score(mean, row) for mean in sets[draws(len(sets), seed=seed)].mean(1)]
        result[factor] = interval(score(sets.mean(0), row), many)
    return result


def matrix_rows(found: Separation) -> list[Row]:
    """The spreads behind the scores."""
    return [
        {"varied": factor, **{name: f"{value:.3f}" for name, value in zip(FACTORS, line, strict=True)}}
        for factor, line in zip(FACTORS, matrix(found), strict=True)
    ]


def side_effect_rows(found: Summary) -> list[Row]:
    """Side effects in percent."""
    return summary_rows(found, "transferred", dict.fromkeys(FACTORS, percent))


def note(plan: Plan, photos: int, estimator: Estimator) -> str:
    """What the numbers mean."""
    spread = "sum of variances" if plan.spread == "variance" else "mean Euclidean distance of pairs"
    return NOTE.format(
        sets=plan.sets,
        values=plan.values,
        photos=photos,
        seed=plan.seed,
        spread=spread,
        estimator=estimator.name,
        pose=plan.pose,
    )


def side_effects_note(found: Summary) -> str:
    """What the table of side effects says."""
    cells = [one for columns in found.values() for one in columns.values()]
    return SIDE_EFFECTS_NOTE.format(
        below=sum(one.value < THIRD for one in cells),
        cells=len(cells),
        surely=sum(one.high < THIRD for one in cells),
    )


def tables(
    found: Separation, plan: Plan, estimator: Estimator, where: str, device: str, inputs: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The scores, the spreads behind them, and the side effects.

    Args:
        found: from ``measure``.
        plan: what was rendered.
        estimator: what read the attributes.
        where: what the photos are, for the titles.
        device: where it was measured.
        inputs: sums of files that the numbers depend on.
    """
    summary, effects = {"facesep": scores(found, plan.seed)}, side_effects(found, plan.seed)
    lines = summary_rows(summary, "method", dict.fromkeys(FACTORS, "{:.3g}".format)) + score_rows("method")
    spreads = {
        factor: dict(zip(FACTORS, line, strict=True))
        for factor, line in zip(FACTORS, matrix(found), strict=True)
    }
    return [
        table(
            f"{TITLE} ({where})",
            lines,
            note(plan, found.photos, estimator),
            summary,
            device=device,
            inputs=inputs,
        ),
        table(
            f"Table 3: spreads behind the scores ({where})",
            matrix_rows(found),
            MATRIX_NOTE,
            spreads,
            device=device,
        ),
        table(
            f"Table 3: side effects of single transfers ({where})",
            side_effect_rows(effects),
            side_effects_note(effects),
            effects,
            device=device,
        ),
    ]
