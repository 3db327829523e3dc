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
from facesep.errors import ConfigError, DataError
from facesep.evaluation.comparison import PhotoSet
from facesep.evaluation.encoded import encode_all
from facesep.evaluation.estimators import Estimator, factors
from facesep.evaluation.ledger import Ledger
from facesep.evaluation.paper import FACTORS
from facesep.evaluation.processes import Processes
from facesep.evaluation.report import Row, percent
from facesep.evaluation.statistics import LEVEL, REPEATS, Estimate
from facesep.model import FaceSep

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
        spread: see :data:`SPREADS`.
        pose: see :data:`facesep.evaluation.estimators.POSES`.
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
        kind: of the spreads, see :data:`SPREADS`.
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
    ledger: Ledger,
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
        ledger: keeps what is done.
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
    codes, people, targets = encoded.codes, encoded.people, encoded.targets
    if len(set(people)) < plan.values + 1:
        raise ConfigError(f"sets of {plan.values} values need photos of at least {plan.values + 1} people")
    reference = _reference(estimator, targets, plan)
    units = [(factor, number) for factor in FACTORS for number in range(plan.sets)]
    mine = units[processes.rank :: processes.count]
    known = ledger.done()
    todo = [unit for unit in mine if _key(unit) not in known]
    done = len(mine) - len(todo)
    for start in range(0, len(todo), batch):
        chosen = todo[start : start + batch]
        pictures = torch.cat([_render_set(sep, codes, people, plan, *unit) for unit in chosen])
        read = factors(estimator.estimate(pictures), plan.pose)
        for row, unit in enumerate(chosen):
            rows = slice(row * plan.values, (row + 1) * plan.values)
            spreads = [spread_of(read[name][rows], plan.spread) / reference[name] for name in FACTORS]
            ledger.add(_key(unit), [value if math.isfinite(value) else None for value in spreads])
        done += len(chosen)
        if on_set:
            on_set(done, len(mine))
    processes.wait()
    if not processes.main:
        return None
    records = ledger.done()
    return Separation(
        {
            factor: np.array([records[_key((factor, n))] for n in range(plan.sets)], np.float64)
            for factor in FACTORS
        },
        len(people),
        plan.spread,
    )


def _key(unit: tuple[str, int]) -> str:
    return f"{unit[0]}-{unit[1]}"


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


def side_effects(found: Separation, seed: int = 0) -> dict[str, dict[str, Estimate]]:
    """How far attribute j moves where i varies, as a share of how far it moves where j itself varies.

    Distances, so square roots of the ratio of variances if spreads are variances. Intervals: sets of both
    are drawn with replacement, independently.
    """
    power = 0.5 if found.kind == "variance" else 1.0
    rng = np.random.default_rng(seed)
    resampled = {}
    for factor in FACTORS:
        sets = found.sets[factor]
        draws = rng.integers(0, len(sets), (REPEATS, len(sets)))
        resampled[factor] = np.nanmean(sets[draws], 1)
    spreads = matrix(found)
    result: dict[str, dict[str, Estimate]] = {}
    for row, varied in enumerate(FACTORS):
        result[varied] = {}
        for column, moved in enumerate(FACTORS):
            if row == column:
                continue
            many = (resampled[varied][:, column] / resampled[moved][:, column]) ** power
            low, high = np.quantile(many, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
            value = (spreads[row, column] / spreads[column, column]) ** power
            result[varied][moved] = Estimate(float(value), float(low), float(high))
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
        value = score(sets.mean(0), row)
        draws = np.random.default_rng(seed).integers(0, len(sets), (REPEATS, len(sets)))
        many = [score(mean, row) for mean in sets[draws].mean(1)]
        low, high = np.quantile(many, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        result[factor] = Estimate(value, float(low), float(high))
    return result


def score_rows(found: Mapping[str, Mapping[str, Estimate]], label: str) -> list[Row]:
    """Scores by model, with their intervals."""
    return [
        {
            label: name,
            **{
                factor: f"{one.value:.3g} ({one.low:.3g} to {one.high:.3g})"
                if (one := estimates.get(factor))
                else None
                for factor in FACTORS
            },
        }
        for name, estimates in found.items()
    ]


def matrix_rows(found: Separation) -> list[Row]:
    """The spreads behind the scores."""
    return [
        {"varied": factor, **{name: f"{value:.3f}" for name, value in zip(FACTORS, line, strict=True)}}
        for factor, line in zip(FACTORS, matrix(found), strict=True)
    ]


def side_effect_rows(found: Mapping[str, Mapping[str, Estimate]]) -> list[Row]:
    """Side effects in percent."""
    return [
        {
            "transferred": varied,
            **{
                name: f"{percent(one.value)} ({percent(one.low)} to {percent(one.high)})"
                if (one := columns.get(name))
                else None
                for name in FACTORS
            },
        }
        for varied, columns in found.items()
    ]


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


def side_effects_note(found: Mapping[str, Mapping[str, Estimate]]) -> str:
    """What the table of side effects says."""
    cells = [one for columns in found.values() for one in columns.values()]
    return SIDE_EFFECTS_NOTE.format(
        below=sum(one.value < THIRD for one in cells),
        cells=len(cells),
        surely=sum(one.high < THIRD for one in cells),
    )


def settings(plan: Plan, estimator: Estimator, photos: PhotoSet) -> dict[str, Any]:
    """JSON data that tells these results from others."""
    return {"plan": vars(plan), "estimator": estimator.name, "photos": photos.origin()}
