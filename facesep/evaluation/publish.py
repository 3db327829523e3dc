"""Puts a report where readers look: into the checkpoint's card, its eval.json and ``.eval_results/``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from facesep.card import make_card
from facesep.checkpoint import CARD, CONFIG, read_json, verify_checkpoint
from facesep.checksums import CHECKSUMS, sha256
from facesep.errors import ConfigError
from facesep.evaluation.report import describe, read_report
from facesep.hub import commit_files, parse_repo, resolve

EVAL = "eval.json"
RESULTS = ".eval_results/facesep.yaml"


@dataclass(frozen=True)
class Benchmark:
    """A data set on the Hub that keeps a list of results.

    Attributes:
        dataset: ``user/name``.
        task: its name for what is measured.
        table: title of the report's table.
        method: row of it.
        column: measure of it.
    """

    dataset: str
    task: str
    table: str
    method: str
    column: str


def results_yaml(report: Mapping[str, Any], benchmark: Benchmark) -> str:
    """Content of a file in ``.eval_results/``: one number of the report, with where it comes from.

    Raises:
        ConfigError: if the report has no such number.
    """
    found = next((one for one in report["tables"] if one["title"] == benchmark.table), None)
    titles = "; ".join(one["title"] for one in report["tables"])
    if found is None:
        raise ConfigError(f"the report has no table {benchmark.table!r}, it has: {titles}")
    row = found["results"].get(benchmark.method)
    number = row.get(benchmark.column) if isinstance(row, Mapping) else None
    if number is None:
        raise ConfigError(
            f"{benchmark.table!r} has no number {benchmark.column!r} of {benchmark.method!r}: "
            f"methods are {', '.join(found['results'])}"
        )
    entry = EvalResultEntry(
        dataset_id=benchmark.dataset,
        task_id=benchmark.task,
        value=number["value"] if isinstance(number, Mapping) else number,
        notes=f"{benchmark.column} of {benchmark.method}, {benchmark.table}; {found['command']}",
    )
    # Every JSON document is a YAML document.
    return json.dumps(eval_result_entries_to_yaml([entry]), indent=2, ensure_ascii=False) + "\n"


def publish(
    checkpoint: str,
    report_path: str | Path,
    benchmark: Benchmark | None = None,
    *,
    token: str | bool | None = None,
    branch: str | None = None,
) -> str:
    """Writes a report into a checkpoint folder, or in one commit into a repository on the Hub.

    Args:
        checkpoint: a folder, or ``user/repo[@revision]``.
        report_path: an ``eval.json`` on exactly these weights.
        benchmark: also write ``RESULTS`` for it.
        token: Hub token.
        branch: of the repository; ``main`` by default.

    Returns:
        The folder, or the address of the commit.

    Raises:
        ConfigError: if the report is on other weights or on refined pictures.
        HubError: if the Hub cannot be reached or refuses.
    """
    report = read_report(report_path)
    if report.get("refined"):
        raise ConfigError(f"{report_path} was measured on refined pictures, which no table may hold")
    local = Path(checkpoint).expanduser().is_dir()
    repo, pinned = (None, None) if local else parse_repo(checkpoint)
    branch = branch or pinned
    folder = resolve(checkpoint, revision=branch, token=token)
    if describe(str(folder))["sha256"] != report["checkpoint"]["sha256"]:
        raise ConfigError(f"{report_path} holds numbers of other weights than {checkpoint}: measure again")
    verify_checkpoint(folder)
    with tempfile.TemporaryDirectory(prefix="facesep-publish-") as temporary:
        staged = Path(temporary)
        files = _stage(staged, folder, report, benchmark, repo)
        if local:
            return str(_install(folder, staged, files))
        paths = {name: staged / name for name in files}
        return commit_files(repo, paths, commit_message="Add evaluation results", branch=branch, token=token)


def _stage(
    staged: Path,
    folder: Path,
    report: Mapping[str, Any],
    benchmark: Benchmark | None,
    repo: str | None,
) -> list[str]:
    """Writes the files that change; returns their names, the table of sums last."""
    (staged / EVAL).write_text(
        json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    train = read_json(folder, "train_config.json") if (folder / "train_config.json").is_file() else None
    config = {k: v for k, v in read_json(folder, CONFIG).items() if k not in ("format", "facesep_version")}
    (staged / CARD).write_text(make_card(config, eval=report, train=train, repo_id=repo), encoding="utf-8")
    sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    sums[EVAL] = sha256(staged / EVAL)
    (staged / CHECKSUMS).write_text(json.dumps(dict(sorted(sums.items())), indent=2) + "\n", encoding="utf-8")
    names = [EVAL, CARD]
    if benchmark is not None:
        (staged / RESULTS).parent.mkdir()
        (staged / RESULTS).write_text(results_yaml(report, benchmark), encoding="utf-8")
        names.append(RESULTS)
    return [*names, CHECKSUMS]


def _install(folder: Path, staged: Path, names: list[str]) -> Path:
    for name in names:
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        part = target.with_name(target.name + ".part")
        shutil.copyfile(staged / name, part)
        os.replace(part, target)
    return folder
