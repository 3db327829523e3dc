"""Tables 2, 5 and 6: checkpoints and other methods side by side, from the options of a script."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facesep.checksums import sha256
from facesep.errors import ConfigError
from facesep.evaluation import comparison, options
from facesep.evaluation.comparison import COLUMNS, Measures
from facesep.evaluation.paper import quality_rows
from facesep.evaluation.report import describe, table
from facesep.evaluation.runner import Processes, ResultLog, finish, progress
from facesep.evaluation.statistics import Scores, Summary, summary_rows

FILES = ("lpips_weights", "st_lpips", "arcface", "morphable", "labels")
"""Options that name one file on which numbers depend."""

NOTE = (
    "Means over {people} people ({photos} photos), in brackets 95 % bootstrap "
    "intervals over people. L1 and SSIM over {region}, values in 0..1; "
    "SSIM with {window}, each colour channel. {perceptual}Pictures are compared with the photo's head on "
    "white. {identity}{estimator}Nothing is refined."
)
PAPER_NOTE = (
    "Rows 'paper' are what the paper reports, on its own photos with its own crops, by ArcFace (IC) and the "
    "coefficients of Deep3DFaceRecon: other data{others}. Compare the order of methods, not the numbers."
)


def inputs(args: argparse.Namespace) -> dict[str, str]:
    """SHA-256 sums of what the numbers depend on besides the checkpoint."""
    paths = {name: Path(value) for name in FILES if (value := getattr(args, name, None))}
    kind, _, value = args.estimator.partition("=")
    if kind == "deep3d":
        paths["estimator"] = Path(value)
    if args.shards:
        paths["shards"] = Path(args.shards) / "index.json"
    return {name: sha256(path) for name, path in paths.items()}


def report(
    args: argparse.Namespace,
    checkpoints: Mapping[str, str | None],
    name: str,
    *,
    belongs_to: str | None,
    **about: Any,
) -> Summary | None:
    """Measures, and puts the tables into the script's report.

    Args:
        args: the script's options.
        checkpoints: by their names in the table.
        name: of the results in ``--work``.
        belongs_to: the checkpoint of the report.
        **about: ``title``, ``paper``, ``label`` and ``by`` of ``tables``.

    Returns:
        The estimates by row; None in processes that do not report.
    """
    measures = options.open_measures(args)
    result = measure(args, checkpoints, measures, name)
    if result is None:
        return None
    finish(args, belongs_to, tables(args, *result, measures, checkpoints, **about))
    return result[1]


def measure(
    args: argparse.Namespace, checkpoints: Mapping[str, str | None], measures: Measures, name: str
) -> tuple[Scores, Summary] | None:
    """Compares checkpoints, baselines and renders on the photos that the options name.

    Args:
        args: the script's options.
        checkpoints: by their names in the table; the first is the one that the report belongs to.
        measures: what is measured.
        name: of the results in ``--work``.

    Returns:
        What was found, and the estimates by row; None in processes that do not report.

    Raises:
        ConfigError: if two methods have one name.
    """
    processes = Processes.of_this_run(args.device, args.work)
    models = options.open_models(checkpoints, processes.device)
    photos = options.open_photos(args, next(iter(models.values())))
    renders = options.open_renders(args, photos) if hasattr(args, "renders") else []
    if taken := {one.name for one in renders} & {*models, comparison.COPY, comparison.MEAN}:
        raise ConfigError(f"{taken.pop()!r} names two methods: choose another name for the renders")
    names = [photos.name(place) for place in range(len(photos))]
    settings = {
        "checkpoints": {name: describe(one)["sha256"] for name, one in checkpoints.items()},
        "renders": {one.name: one.digest(names) for one in renders},
        "measures": measures.settings(),
        "photos": photos.origin(),
        "batch": args.batch,
    }
    log = ResultLog(args.work, f"comparison-{name}", settings, processes.rank)
    methods = comparison.Methods(models, options.mean_picture(args, photos), renders)
    found = comparison.compare(methods, photos, measures, log, processes, args.batch, progress)
    if found is None:
        return None
    return found, estimates(found, next(iter(models)), {one.name for one in renders}, args.seed)


def estimates(found: Scores, first: str, partial: set[str], seed: int) -> Summary:
    """Estimates by row; a method with some of the photos is followed by the first model on the same ones."""
    summary: Summary = {}
    for name, columns in found.values.items():
        there = [row for row, value in enumerate(columns["L1"]) if value == value]
        if name not in partial or len(there) == len(found.people):
            summary |= found.part(range(len(found.people)), [name]).summary(seed)
            continue
        part = found.part(there, [name, first]).summary(seed)
        summary[f"{name} ({len(there)} photos)"] = part[name]
        summary[f"{first} (the same {len(there)} photos)"] = part[first]
    return summary


def tables(
    args: argparse.Namespace,
    found: Scores,
    summary: Summary,
    measures: Measures,
    checkpoints: Mapping[str, str | None],
    *,
    title: str,
    paper: Mapping[str, Sequence[float]],
    label: str,
    by: str | None = None,
) -> list[dict[str, Any]]:
    """The table with the paper's rows below ours, and the first model's by a label of the photos.

    Args:
        args: the script's options.
        found: from ``measure``.
        summary: from ``measure``.
        measures: what was measured.
        checkpoints: what was measured, by name.
        title: of the table, such as ``Table 2: reconstruction``.
        paper: the paper's rows.
        label: heading of the first column.
        by: label of the photos for a second table.
    """
    origin = {"checkpoints": checkpoints, "inputs": inputs(args), "device": args.device}
    where = options.where(args)
    lines = rows(summary, label, list(checkpoints)) + quality_rows(paper, label)
    result = [table(f"{title} ({where})", lines, note(found, measures), summary, **origin)]
    if by:
        main = next(iter(checkpoints))
        groups = by_group(found, main, by, args.seed)
        about = f"The row '{main}' of the table before, by the label '{by}' of the photos."
        result.append(table(f"{title}, by {by} ({where})", rows(groups, by), about, groups, **origin))
    return result


def by_group(found: Scores, method: str, key: str, seed: int = 0) -> Summary:
    """A method's estimates for each value of a label, such as ``set`` or ``expression``."""
    return {
        f"{group} ({len(set(part.people))} people, {len(part.people)} photos)": part.summary(seed)[method]
        for group, part in found.by_label(method, key).items()
    }


def rows(summary: Summary, label: str, intervals: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """One row for each method or group; the named ones with their intervals, by default all."""
    return summary_rows(summary, label, dict.fromkeys(COLUMNS, "{:.4f}".format), intervals)


def note(found: Scores, measures: Measures) -> str:
    """What the numbers mean and which choices were made."""
    identities = "; ".join(f"{one.column}: {one.name}" for one in measures.identities)
    text = NOTE.format(
        people=len(set(found.people)),
        photos=len(found.people),
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
    others = "" if measures.estimator is None else f", and here attributes by the {measures.estimator.name}"
    return text + " " + PAPER_NOTE.format(others=others)


def _estimator_note(measures: Measures) -> str:
    if measures.estimator is None:
        return ""
    behind = "the photo's own background" if measures.background == "photo" else "white behind the head"
    return (
        f"AED, ATD, AID, APD: 1 - cosine of expression, texture, illumination, pose ({measures.pose}) read "
        f"off picture and photo ({behind}) by the {measures.estimator.name}; pictures in which it finds no "
        "face are left out. "
    )
