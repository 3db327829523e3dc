"""Photos -> canonical crops -> shards.

A source lists photos by name and turns one name into a canonical crop with labels; the rest of this
file knows nothing about where photos come from. Work is divided by shard: every file appears under its
name only when it is complete, and the record of a shard is written after the shard, so a run that was
killed anywhere goes on with the shards that have no record.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facesep.data.cluster import run_on_cluster
from facesep.data.duplicates import file_sizes, same_files
from facesep.data.shards import encode_sample, file_sha256, stable_id, write_file, write_index, write_shard
from facesep.data.sheet import rejects_sheet
from facesep.data.source import Prepared, RejectError, Source
from facesep.data.workers import run_jobs
from facesep.errors import ConfigError, DataError

SHARD_SAMPLES = 500
SMALL = "small"
"""Folder of the smaller copy inside the folder of the shards."""
DUPLICATE = "same file as another photo"
Rejected = list[list[str]]
"""``[name, reason]`` pairs."""


@dataclass(frozen=True)
class Job:
    """One shard.

    Attributes:
        names: the shard's photos.
        excluded: those among them that are left out unseen, with the reason.
        path: the tar file.
        size: side of the crops in pixels.
        small: side of the smaller copy; 0 for none.
        white: puts the head on white.
        facts: digest of all that the shard's bytes depend on.
    """

    names: list[str]
    excluded: dict[str, str]
    path: Path
    size: int
    small: int
    white: bool
    facts: str

    @property
    def record(self) -> Path:
        """Written last: while it is there, the shard is complete."""
        return self.path.with_suffix(".done.json")

    @property
    def paths(self) -> list[Path]:
        """The tar file and its smaller copy."""
        return [self.path, *([self.path.parent / SMALL / self.path.name] if self.small else [])]

    def finished(self) -> dict[str, Any] | None:
        """The record, if the shard was completed by a job like this one."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            same = record["task"] == self.facts and record["bytes"] == [_bytes(p) for p in self.paths]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if same else None


def prepare(
    source: Source,
    out: str | Path,
    size: int = 256,
    workers: int = 1,
    shard_samples: int = SHARD_SAMPLES,
    progress: Callable[[int, int], None] | None = None,
    small: int = 0,
    white: bool = False,
    cluster: str | None = None,
) -> dict[str, Any]:
    """Writes all photos of a source as shards with an index, a report and a contact sheet of rejects.

    The bytes of the shards depend on the source and the settings, not on the number of workers nor on how
    often the run was stopped.

    Args:
        source: where the photos come from.
        out: the folder to fill; finished shards of the same job in it are kept.
        size: side of the crops in pixels.
        workers: processes.
        shard_samples: photos in a shard, at most.
        progress: called with (photos done, photos in all), first with what earlier runs have done.
        small: side of a smaller copy of everything in ``out/small``; 0 for none.
        white: keeps only the head, on white, instead of the whole photo.
        cluster: address of a Dask scheduler whose workers make the shards, or ``local``; they must find the
            photos and ``out`` under the same paths.

    Returns:
        The report, also written to ``report.json``: photos, samples, rejects by reason.

    Raises:
        ConfigError: for sizes or counts that make no sense, and if the cluster cannot be used.
        DataError: if no photo could be used, the disk is full, or another run fills the folder.
    """
    if size < 16 or workers < 1 or shard_samples < 1:
        raise ConfigError("size must be at least 16, workers and shard samples at least 1")
    if small and not 16 <= small < size:
        raise ConfigError(f"the smaller copy must have 16 to {size - 1} pixels, got {small}")
    out = Path(out)
    with _disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with _alone(out):
            return _prepare(source, out, size, workers, shard_samples, progress, small, white, cluster)


def _prepare(
    source: Source,
    out: Path,
    size: int,
    workers: int,
    shard_samples: int,
    progress: Callable[[int, int], None] | None,
    small: int,
    white: bool,
    cluster: str | None,
) -> dict[str, Any]:
    folders = [out, *([out / SMALL] if small else [])]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        for left in folder.glob("*.tmp"):  # of a run that was killed while it wrote
            left.unlink()
    names = source.names()
    paths = [source.path(name) for name in names]
    sizes = file_sizes(paths)
    excluded = {names[i]: DUPLICATE for i in same_files(paths, sizes)} | source.excluded()
    common = [source.name, source.settings(), size, small, white]
    jobs = []
    for number, start in enumerate(range(0, len(names), shard_samples)):
        chunk = names[start : start + shard_samples]
        out_of = {name: excluded[name] for name in chunk if name in excluded}
        own = [chunk, sizes[start : start + shard_samples], out_of, [source.facts(name) for name in chunk]]
        facts = hashlib.sha256(json.dumps([*common, *own]).encode()).hexdigest()
        jobs.append(Job(chunk, out_of, out / f"{number:05d}.tar", size, small, white, facts))
    records = {number: record for number, job in enumerate(jobs) if (record := job.finished())}
    pending = {number: job for number, job in enumerate(jobs) if number not in records}
    if pending:  # an index must not speak of shards that are about to change
        for folder in folders:
            (folder / "index.json").unlink(missing_ok=True)
    kept = sum(len(jobs[number].names) for number in records)

    def tell(done: int) -> None:
        if progress:
            progress(kept + done, len(names))

    tell(0)
    if cluster is None:
        records |= run_jobs(write_job, source, pending, workers, tell)
    elif pending:
        records |= _on_cluster(source, pending, cluster, workers, tell)
    rejected = [pair for number in range(len(jobs)) for pair in records[number]["rejected"]]
    used = [number for number, job in enumerate(jobs) if job.path.exists()]
    if not used:
        raise DataError(f"none of {len(names)} photos of {source.name} could be used: {rejected[:3]}")
    for copy, side in reversed(list(enumerate((size, small) if small else (size,)))):
        files = [jobs[number].paths[copy] for number in used]
        sums = [records[number]["sha256"][copy] for number in used]
        samples = write_index(folders[copy], files, side, sums)
    report = {
        "source": source.name,
        "photos": len(names),
        "samples": samples,
        "rejects": dict(Counter(reason for _, reason in rejected)),
        "rejected": rejected,
    }
    if rejected:
        write_file(out / "rejects.jpg", rejects_sheet(source, rejected))
    else:
        (out / "rejects.jpg").unlink(missing_ok=True)
    write_file(out / "report.json", json.dumps(report, indent=1, ensure_ascii=False).encode())
    return report


def _on_cluster(
    source: Source, jobs: dict[int, Job], cluster: str, workers: int, tell: Callable[[int], None]
) -> dict[int, dict[str, Any]]:
    """Writes shards on a cluster, and makes sure that they have come to this folder."""
    done = 0

    def finished(number: int) -> None:
        nonlocal done
        done += len(jobs[number].names)
        tell(done)

    records = run_on_cluster(write_job, source, jobs, cluster, workers, finished)
    for number, job in jobs.items():
        if job.finished() != records[number]:
            raise DataError(
                f"a worker wrote {job.path}, and it is not here: all machines must share {job.path.parent}"
            )
    return records


def write_job(source: Source, job: Job, tick: Callable[[], None]) -> dict[str, Any]:
    """Writes one shard, its smaller copy and then its record, which is returned.

    Args:
        source: where the photos come from.
        job: the shard.
        tick: called after every photo.

    Raises:
        DataError: if the disk is full.
    """
    with _disk_errors(job.path.parent):
        job.record.unlink(missing_ok=True)
        for path in job.paths:
            path.unlink(missing_ok=True)
        rejected: Rejected = []
        copies: list[list[dict[str, bytes]]] = [[] for _ in job.paths]
        for name in job.names:
            try:
                if name in job.excluded:
                    raise RejectError(job.excluded[name])
                one = source.prepare(name, job.size)
                if job.white:
                    one = on_white(one)
                id_ = stable_id(f"{source.name}/{name}")
                variants = [one, shrink(one, job.small)] if job.small else [one]
                for members, copy in zip(copies, variants, strict=True):
                    meta = {"id": f"{id_:016x}", **copy.meta}
                    members.append(encode_sample(id_, copy.image, copy.label, meta))
            except RejectError as error:
                rejected.append([name, str(error)])
            tick()
        sums = []
        for path, members in zip(job.paths, copies, strict=True):
            if members:
                write_shard(path, members)
            sums.append(file_sha256(path) if members else "")
        record = {"task": job.facts, "bytes": [_bytes(path) for path in job.paths], "sha256": sums}
        record["rejected"] = rejected
        write_file(job.record, json.dumps(record).encode())
        return record


def shrink(one: Prepared, size: int) -> Prepared:
    """A smaller copy of a crop: pixels, label map, and what the record says in pixels of the crop."""
    factor = size / one.image.width
    meta = {**one.meta, "size": size}
    for key, digits in (("points5", 2), ("landmarks", 1)):
        if meta.get(key):
            meta[key] = np.round(np.array(meta[key]) * factor, digits).tolist()
    image = one.image.resize((size, size), Image.LANCZOS)
    return Prepared(image, one.label.resize((size, size), Image.NEAREST), meta)


def on_white(one: Prepared) -> Prepared:
    """The head (face and hair) on white."""
    head = one.label.point([255 if value in (1, 2) else 0 for value in range(256)])
    return replace(one, image=Image.composite(one.image, Image.new("RGB", one.image.size, "white"), head))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps a second run out of the folder; the lock ends with the process, however that ends."""
    with open(out / ".lock", "w", encoding="utf-8") as file:
        try:
            _lock(file.fileno())
        except (BlockingIOError, PermissionError):
            raise DataError(f"another run is filling {out}: wait for it or give another folder") from None
        yield


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write to {folder} ({error.strerror or error}): free some space or choose another folder "
            "and start again; finished shards are kept"
        ) from error


def _bytes(path: Path) -> int:
    return os.path.getsize(path) if path.exists() else 0
