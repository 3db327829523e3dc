"""Tables 2, 5 and 6 from the options of a script: the work that they share."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facesep.checksums import sha256
from facesep.errors import ConfigError
from facesep.evaluation import comparison, options, quality
from facesep.evaluation.ledger import Ledger
from facesep.evaluation.processes import Processes
from facesep.evaluation.renders import Renders
from facesep.evaluation.report import Row, describe, table
from facesep.evaluation.script import progress
from facesep.evaluation.statistics import Estimate

FILES = ("lpips_weights", "st_lpips", "arcface", "morphable", "labels")
"""Options that name one file on which numbers depend."""


def inputs(args: argparse.Namespace) -> dict[str, str]:
    """SHA-256 sums of what the numbers depend on besides the checkpoint."""
    paths = {name: Path(value) for name in FILES if (value := getattr(args, name, None))}
    kind, _, value = args.estimator.partition("=")
    if kind == "deep3d":
        paths["estimator"] = Path(value)
    if args.shards:
        paths["shards"] = Path(args.shards) / "index.json"
    return {name: sha256(path) for name, path in paths.items()}


def measured(
    args: argparse.Namespace,
    processes: Processes,
    checkpoints: Mapping[str, str | None],
    measures: comparison.Measures,
    label: str,
) -> tuple[comparison.Comparison, dict[str, dict[str, Estimate]]] | None:
    """Compares checkpoints, baselines and renders; the work of Tables 2, 5 and 6.

    Returns:
        What was found, and the estimates by row; None in processes that do not report.
    """
    models = options.open_models(checkpoints, processes.device)
    first = next(iter(models.values()))
    photos = options.open_photos(args, first)
    renders = options.open_renders(args, photos) if hasattr(args, "renders") else []
    if taken := {one.name for one in renders} & {*models, comparison.COPY, comparison.MEAN}:
        raise ConfigError(f"{taken.pop()!r} names two methods: choose another name for the renders")
    if processes.count > 1 and not args.work:
        raise ConfigError("several processes need --work DIR to put their results together")
    names = [photos.name(place) for place in range(len(photos))]
    settings = {
        "checkpoints": {name: describe(one)["sha256"] for name, one in checkpoints.items()},
        "renders": {one.name: one.digest(names) for one in renders},
        "measures": measures.settings(),
        "photos": photos.origin(),
        "batch": args.batch,
    }
    ledger = Ledger(args.work, f"comparison-{label}", settings, processes.rank)
    methods = comparison.Methods(models, options.mean_picture(args, photos), renders)
    found = comparison.compare(
        methods,
        photos,
        measures,
        ledger,
        processes,
        args.batch,
        on_photo=lambda done: progress(done, -(-len(photos) // processes.count)),
    )
    return None if found is None else (found, with_partial(found, next(iter(models)), renders, args.seed))


def with_partial(
    found: comparison.Comparison, first: str, renders: Sequence[Renders], seed: int
) -> dict[str, dict[str, Estimate]]:
    """Estimates by row; a method with some of the photos is followed by the first model on the same ones."""
    summary: dict[str, dict[str, Estimate]] = {}
    partial = {one.name for one in renders}
    for name, columns in found.values.items():
        there = [row for row, value in enumerate(columns["L1"]) if value == value]
        if name not in partial or len(there) == len(found.people):
            summary |= quality.summarise(quality.part_of(found, range(len(found.people)), [name]), seed)
            continue
        part = quality.summarise(quality.part_of(found, there, [name, first]), seed)
        summary[f"{name} ({len(there)} photos)"] = part[name]
        summary[f"{first} (the same {len(there)} photos)"] = part[first]
    return summary


def quality_tables(
    args: argparse.Namespace,
    found: comparison.Comparison,
    summary: Mapping[str, Mapping[str, Estimate]],
    measures: comparison.Measures,
    title: str,
    paper: Sequence[Row],
    label: str,
    checkpoints: Mapping[str, str | None],
    by: str | None = None,
) -> list[dict[str, Any]]:
    """The table with the paper's rows below ours, and the first model's by a label of the photos."""
    origin = {"checkpoints": checkpoints, "inputs": inputs(args)}
    main = next(iter(checkpoints))
    rows = quality.table_rows(summary, label, intervals=list(checkpoints)) + list(paper)
    tables = [
        table(
            f"{title} ({options.where(args)})",
            rows,
            quality.note(found, measures),
            summary,
            device=args.device,
            **origin,
        )
    ]
    if by:
        groups = quality.by_group(found, main, by, args.seed)
        tables.append(
            table(
                f"{title}, by {by} ({options.where(args)})",
                quality.table_rows(groups, by, intervals=list(groups)),
                f"The row '{main}' of the table before, by the label '{by}' of the photos.",
                groups,
                device=args.device,
                **origin,
            )
        )
    return tables
