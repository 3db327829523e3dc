"""All tables and figures of a checkpoint: the scripts in their order, and what is made of their results."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facesep.data.shards import ShardSet
from facesep.errors import ConfigError
from facesep.evaluation import options, plots
from facesep.evaluation.comparison import COLUMNS
from facesep.evaluation.expression import EXPRESSIONS
from facesep.evaluation.paper import FACTORS
from facesep.evaluation.report import describe, markdown, read_report
from facesep.evaluation.runner import ResultLog
from facesep.evaluation.statistics import Estimate
from facesep.moves import PHOTOS

logger = logging.getLogger(__name__)

SHARED = ("seed", "device")
FITTED = "per-image fitting of our decoder"
REPORT, TEXT = "eval.json", "report.md"
PARALLEL = ("fit.py", "table2.py", "separation.py")
"""Scripts that several processes can share."""


def steps(args: argparse.Namespace) -> list[list[str]]:
    """The commands, each a script with its arguments, in the order in which they run."""
    out = Path(args.out)
    work = ["--work", str(out / "work")]
    report = ["--out", str(out / REPORT)]
    one = ["--checkpoint", args.checkpoint] if args.checkpoint else []
    many = ["--checkpoint", f"facesep={args.checkpoint}"] if args.checkpoint else []
    data, device = forward(args, *options.DATA), forward(args, "device")
    run = [*forward(args, *SHARED), *report]
    renders = [word for text in args.renders for word in ("--renders", text)]
    commands = []

    def on_shards(script: str, *names: str) -> None:
        commands.append([script, *one, *forward(args, "shards", "split", *names), *run])

    if args.shards:
        on_shards("representation.py", "photos", "identity", "st-lpips", "limit")
    fitted = []
    if args.fit:
        folder = str(out / "fitted")
        amount = ["--count", str(args.fit), "--steps", str(args.fit_steps)]
        commands.append(["fit.py", *one, *data, *amount, *device, "--out", folder])
        renders += ["--renders", f"{FITTED}={folder}"]
        fitted = ["--fit", folder]
    partial = ["--partial"] if args.fit or args.partial else []
    measures = forward(args, *options.MEASURES, *options.ESTIMATOR)
    commands.append(["table2.py", *many, *data, *measures, *renders, *partial, "--by", args.by, *work, *run])
    if args.estimator != "none":
        amount = ["--sets", str(args.sets), "--values", str(args.values)]
        plot = ["--plot", str(out / "table3.png")]
        estimator = forward(args, *options.ESTIMATOR)
        commands.append(["separation.py", *one, *data, *estimator, *amount, *work, *run, *plot])
    photo = args.photo or str(example())
    commands.append(["speed.py", *one, "--photo", photo, *fitted, *device, *report])
    if args.shards and has_pairs(args.shards, args.split):
        on_shards("expression.py", "landmarks")
    if args.tddfa:
        on_shards("pose.py", "labels", "tddfa", "limit")
    if args.masks:
        on_shards("hair.py", "masks", "limit")
    licence = ["--any-licence"] if args.any_licence else []
    commands.append(["figures.py", *many, *data, *renders, *licence, *device, "--out", str(out)])
    return commands


def forward(args: argparse.Namespace, *names: str) -> list[str]:
    """The options of that name which were given, as words of a command line."""
    values = {f"--{name}": getattr(args, name.replace("-", "_")) for name in names}
    return [word for name, value in values.items() if value is not None for word in (name, str(value))]


def has_pairs(shards: str, split: str) -> bool:
    """Whether somebody has a neutral and a smiling photo, as ``expression.py`` needs it."""
    seen: dict[str, set[str]] = {}
    data = ShardSet(shards, split)
    for row in range(len(data)):
        meta = data.meta(row)
        seen.setdefault(meta.get("person") or meta["name"], set()).add(meta.get("expression") or "")
    return any(set(EXPRESSIONS) <= found for found in seen.values())


def example() -> Path:
    """A bundled photo to measure speed with.

    Raises:
        ConfigError: if this installation has none.
    """
    found = sorted(PHOTOS.glob("*.jpg"))
    if not found:
        raise ConfigError("this installation has no example photos: give one with --photo")
    return found[0]


def run_all(scripts: Path, commands: Sequence[Sequence[str]], args: argparse.Namespace) -> None:
    """Runs the commands one after the other; those that were done before are left out.

    Args:
        scripts: folder of the scripts.
        commands: from ``steps``.
        args: options of the run.

    Raises:
        ConfigError: if one fails; it has said why.
    """
    out = Path(args.out)
    settings = {"checkpoint": describe(args.checkpoint)["sha256"]}
    if args.shards:
        settings["shards"] = [shard["sha256"] for shard in ShardSet(args.shards, args.split).shards]
    log = ResultLog(out / "work", "steps", settings)
    try:
        done = log.done()
        for number, (script, *arguments) in enumerate(commands, start=1):
            key = " ".join([script, *arguments])
            before = " (done before)" if key in done else ""
            logger.info("[%s/%s] %s%s", number, len(commands), script, before)
            if key in done:
                continue
            start = [sys.executable]
            if args.processes > 1 and script in PARALLEL:
                # Not `accelerate launch --cpu`, which starts one process whatever it is asked for.
                start += ["-m", "torch.distributed.run", "--standalone"]
                start += ["--nproc_per_node", str(args.processes)]
            status = subprocess.run([*start, str(scripts / script), *arguments]).returncode
            if status:
                raise ConfigError(f"{script} failed; the same command goes on from there once that is mended")
            log.add(key, True)
    finally:
        if (out / REPORT).is_file():
            finish(out)


def finish(out: Path) -> None:
    """Writes the report's tables as Markdown and draws its plots."""
    report = read_report(out / REPORT)
    head = f"# Evaluation of {report['checkpoint']['name']}\n\n"
    origin = "".join(f"- `{name}`: {value}\n" for name, value in report["checkpoint"]["sha256"].items())
    commands = "\n".join(
        f"- {one['title']}: `{one['command']}` ({one['hardware']}, commit {one['commit'] or 'unknown'})"
        for one in report["tables"]
    )
    body = markdown(report["tables"])
    text = f"{head}SHA-256 of the weights:\n\n{origin}\n{body}\n\n### Commands\n\n{commands}\n"
    (out / TEXT).write_text(text, encoding="utf-8")
    for one in report["tables"]:
        if one["title"].startswith("Table 2") and ", by " not in one["title"]:
            plots.bars(estimates(one["results"]), COLUMNS, out / "table2.png", "Table 2")
        if one["title"].startswith("Table 3: disentanglement"):
            plots.bars(estimates(one["results"]), FACTORS, out / "table3_scores.png", "Disentanglement score")


def estimates(results: Mapping[str, Any]) -> dict[str, dict[str, Estimate]]:
    """Estimates by row and column from a report's results; what was not finite becomes NaN."""
    return {
        row: {
            column: Estimate(*(np.nan if one[key] is None else one[key] for key in ("value", "low", "high")))
            for column, one in columns.items()
        }
        for row, columns in results.items()
    }
