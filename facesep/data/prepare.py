"""Photos -> canonical crops -> shards.

A source lists photos by name and turns one name into a canonical crop with labels; the rest of this
file knows nothing about where photos come from. Work is divided by shard: a run that was stopped goes
on with the shards that are not finished.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from facesep.data.shards import encode_sample, stable_id, write_index, write_shard
from facesep.errors import ConfigError, DataError

SHARD_SAMPLES = 500


class RejectError(Exception):
    """Raised by a source for a photo that cannot be used; the message is a short, countable reason."""


@dataclass(frozen=True)
class Prepared:
    """A canonical crop.

    Attributes:
        image: RGB, ``size x size``, background kept.
        label: mode L: 0 background, 1 face, 2 hair, 3 neck and body.
        meta: JSON-ready; has at least ``name``, ``split``, ``points5`` and ``crop``.
    """

    image: Image.Image
    label: Image.Image
    meta: dict[str, Any]


class Source(Protocol):
    """Where photos come from. Must be picklable: it is sent to the worker processes."""

    name: str

    def names(self) -> list[str]:
        """Names of all photos, in a fixed order, each once."""

    def prepare(self, name: str, size: int) -> Prepared:
        """Crops one photo.

        Raises:
            RejectError: if the photo cannot be used.
        """


def prepare(
    source: Source,
    out: str | Path,
    size: int = 256,
    workers: int = 1,
    shard_samples: int = SHARD_SAMPLES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Writes all photos of a source as shards with an index and a report.

    Args:
        source: where the photos come from.
        out: the folder to fill; finished shards of the same job in it are kept.
        size: side of the crops in pixels.
        workers: processes.
        shard_samples: photos in a shard, at most.
        progress: called with (shards done, shards in all).

    Returns:
        The report, also written to ``report.json``: photos, samples, rejects by reason.

    Raises:
        ConfigError: for sizes or counts that make no sense.
        DataError: if no photo could be used.
    """
    if size < 16 or workers < 1 or shard_samples < 1:
        raise ConfigError("size must be at least 16, workers and shard samples at least 1")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    names = source.names()
    chunks = [names[i : i + shard_samples] for i in range(0, len(names), shard_samples)]
    jobs = [(source, chunk, out / f"{number:05d}.tar", size) for number, chunk in enumerate(chunks)]
    rejects: list[list[str]] = []
    for done, shard_rejects in enumerate(_run(jobs, workers), start=1):
        rejects += shard_rejects
        if progress:
            progress(done, len(jobs))
    shards = [job[2] for job in jobs if job[2].exists()]
    if not shards:
        raise DataError(f"none of {len(names)} photos of {source.name} could be used: {rejects[:3]}")
    samples = write_index(out, shards, size)
    report = {
        "source": source.name,
        "photos": len(names),
        "samples": samples,
        "rejects": dict(Counter(reason for _, reason in rejects)),
        "rejected": rejects,
    }
    (out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
    return report


Job = tuple[Source, list[str], Path, int]


def _run(jobs: list[Job], workers: int) -> Iterator[list[list[str]]]:
    if workers == 1:
        yield from map(_prepare_shard, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_prepare_shard, jobs)


def _prepare_shard(job: Job) -> list[list[str]]:
    """Writes one shard unless it is finished; returns its rejects as ``[name, reason]`` pairs.

    The record beside the shard is written last, so its presence means that the shard is complete.
    """
    source, names, path, size = job
    record = path.with_suffix(".done.json")
    task = hashlib.sha256(json.dumps([source.name, size, names]).encode()).hexdigest()
    if record.exists():
        finished = json.loads(record.read_text())
        if finished["task"] == task and finished["bytes"] == _bytes(path):
            return finished["rejected"]
        record.unlink()
    path.unlink(missing_ok=True)
    rejected: list[list[str]] = []
    members = []
    for name in names:
        try:
            one = source.prepare(name, size)
        except RejectError as error:
            rejected.append([name, str(error)])
            continue
        id_ = stable_id(f"{source.name}/{name}")
        members.append(encode_sample(id_, one.image, one.label, {"id": f"{id_:016x}", **one.meta}))
    if members:
        write_shard(path, members)
    temporary = record.with_suffix(".tmp")
    temporary.write_text(json.dumps({"task": task, "bytes": _bytes(path), "rejected": rejected}))
    os.replace(temporary, record)
    return rejected


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
