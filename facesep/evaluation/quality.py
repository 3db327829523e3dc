"""Tables of a comparison: estimates over people, groups, notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facesep.evaluation.comparison import COLUMNS, Comparison, Measures
from facesep.evaluation.report import Row
from facesep.evaluation.statistics import Estimate, estimate

NOTE = (
    "Means over {people} people ({photos} photos){intervals}. L1 and SSIM over {region}, values in 0..1; "
    "SSIM with {window}, each colour channel. {perceptual}Pictures are compared with the photo's head on "
    "white. {identity}{estimator}Nothing is refined."
)
PAPER_NOTE = (
    "Rows 'paper' are what the paper reports, on its own photos with its own crops, by ArcFace (IC) and the "
    "coefficients of Deep3DFaceRecon: other data{others}. Compare the order of methods, not the numbers."
)


def summarise(found: Comparison, seed: int = 0) -> dict[str, dict[str, Estimate]]:
    """``{method: {column: estimate over people}}``."""
    return {
        method: {
            column: one
            for column, values in columns.items()
            if (one := estimate(values, found.people, seed=seed)) is not None
        }
        for method, columns in found.values.items()
    }


def part_of(found: Comparison, rows: Sequence[int], methods: Sequence[str]) -> Comparison:
    """Some photos and methods alone."""
    return Comparison(
        [found.people[row] for row in rows],
        [found.metas[row] for row in rows],
        {name: {c: v[list(rows)] for c, v in found.values[name].items()} for name in methods},
    )


def by_group(found: Comparison, method: str, key: str, seed: int = 0) -> dict[str, dict[str, Estimate]]:
    """A method's estimates for each value of a label, such as ``set`` or ``expression``."""
    groups: dict[str, list[int]] = {}
    for row, meta in enumerate(found.metas):
        groups.setdefault(str(meta.get(key) or "not labelled"), []).append(row)
    result = {}
    for group, rows in sorted(groups.items()):
        part = part_of(found, rows, [method])
        label = f"{group} ({len(set(part.people))} people, {len(rows)} photos)"
        result[label] = summarise(part, seed)[method]
    return result


def table_rows(
    summary: Mapping[str, Mapping[str, Estimate]], label: str, intervals: Sequence[str] = ()
) -> list[Row]:
    """One row for each method or group; the named ones with their intervals."""
    columns = [name for name in COLUMNS if any(name in one for one in summary.values())]
    return [
        {label: method, **{name: _cell(found.get(name), method in intervals) for name in columns}}
        for method, found in summary.items()
    ]


def _cell(found: Estimate | None, interval: bool) -> str | None:
    if found is None:
        return None
    return f"{found.value:.4f}" + (f" ({found.low:.4f} to {found.high:.4f})" if interval else "")


def note(found: Comparison, measures: Measures, paper: bool = True) -> str:
    """What the numbers mean and which choices were made."""
    identities = "; ".join(f"{one.column}: {one.name}" for one in measures.identities)
    text = NOTE.format(
        people=len(set(found.people)),
        photos=len(found.people),
        intervals=", in brackets 95 % bootstrap intervals over people",
        region="the head mask" if measures.region == "head" else "the whole square",
        window="a Gaussian window 11 x 11, sigma 1.5"
        if measures.window == "gaussian"
        else "a flat window 7 x 7",
        perceptual="".join(f"{one.column} is {one.about}. " for one in measures.perceptual),
        identity=f"Mean cosine of recognition embeddings of picture and photo, {identities}. "
        if identities
        else "",
        estimator=_estimator_note(measures),
    )
    if found.refused:
        text += f" {found.refused} photos were refused by detection."
    if paper:
        others = (
            "" if measures.estimator is None else f", and here attributes by the {measures.estimator.name}"
        )
        text += " " + PAPER_NOTE.format(others=others)
    return text


def _estimator_note(measures: Measures) -> str:
    if measures.estimator is None:
        return ""
    behind = "the photo's own background" if measures.background == "photo" else "white behind the head"
    return (
        f"AED, ATD, AID, APD: 1 - cosine of expression, texture, illumination, pose ({measures.pose}) read "
        f"off picture and photo ({behind}) by the {measures.estimator.name}; pictures in which it finds no "
        "face are left out. "
    )
