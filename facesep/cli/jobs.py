"""Work on one photo or on many: what is read and written is settled first, then it is done, one by one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch

from facesep import checks
from facesep.cli.console import Progress, deliver, say, say_json, tell
from facesep.cli.files import (
    STDIN,
    Reader,
    check_identity,
    is_folder,
    new_folder,
    output_path,
    photos_in,
    read_stdin,
)
from facesep.cli.model import load
from facesep.codes import SUFFIX
from facesep.errors import ConfigError, FaceSepError
from facesep.saving import MOVING, PICTURES, check_frames, check_transparency, frames_folder, is_frames

FRAMES = "frames"
KINDS = {"picture": PICTURES, "moving": MOVING, "codes": (SUFFIX,)}
"""Suffixes of what commands write; a result has the first unless it is told otherwise."""


@dataclass(frozen=True)
class Job:
    """One result.

    Attributes:
        photo: the photo or codes that it is made of.
        path: where it is written.
        codes: where its codes are written too.
    """

    photo: str
    path: Path
    codes: Path | None = None


@dataclass(frozen=True)
class Task:
    """What a command does with each photo.

    Attributes:
        name: of the results, ``anna-NAME.png``; empty for those that have the photo's own.
        kind: one of ``KINDS``.
        make: makes and writes one result, and gives what was written, by kind.
        others: what else is read, such as donors.
    """

    name: str
    kind: str
    make: Callable[[Namespace, Reader, Job], dict[str, str]]
    others: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a job: what was written and what its photos were warned of, or what went wrong."""

    job: Job
    written: dict[str, str] | None = None
    warnings: Sequence[dict[str, str]] = ()
    error: FaceSepError | None = None


def run(options: Namespace, task: Task) -> None:
    """Does a task for all photos of the options. One that cannot be used does not stop the others.

    Raises:
        FaceSepError: for options that do not fit together, before anything is read; for a single photo that
            cannot be used; after the last of several if one could not be used.
    """
    photos = photos_in(options.photos, codes=task.kind != "codes")
    piped = options.output == STDIN
    check_pipes(options, [*photos, *task.others], len(photos))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory()) if piped else None
        jobs = plan(options, task, photos, folder)
        for given in (options.output, options.codes):
            if is_folder(given):
                stack.enter_context(new_folder(Path(given)))
        if len(jobs) == 1 and not options.skip_existing:  # before the model is loaded
            check_job(options, task, jobs[0])
        options.stdin = read_stdin() if STDIN in (*photos, *task.others) else None
        counts: Counter[str] = Counter()
        with closing(_outcomes(options, task, jobs)) as outcomes:
            for number, outcome in enumerate(outcomes, 1):
                counts[_report(options, outcome, len(jobs))] += 1
                if len(jobs) > 1:
                    Progress(options.quiet).count(options.command, number, len(jobs))
    if len(jobs) > 1:
        _sum_up(options, counts)


def check_pipes(options: Namespace, inputs: Sequence[str], count: int) -> None:
    """Makes sure that standard input and output can be what the options say.

    Raises:
        ConfigError: if not.
    """
    checks.whole(options.workers, "--workers", 1, 64)
    if inputs.count(STDIN) > 1:
        raise ConfigError("standard input (-) holds one file: give - once")
    if options.output != STDIN:
        return
    if count > 1:
        raise ConfigError(f"{count} results do not fit into standard output: use --output FOLDER/")
    if options.json or options.skip_existing or options.codes:
        option = "--json" if options.json else "--codes" if options.codes else "--skip-existing"
        raise ConfigError(f"standard output takes the result alone: leave {option} out, or write to a file")
    if sys.stdout is None or sys.stdout.isatty():
        raise ConfigError("standard output is a terminal: send it on, as in facesep ... -o - > face.png")


def plan(options: Namespace, task: Task, photos: Sequence[str], folder: str | None = None) -> list[Job]:
    """Where each result is written.

    Args:
        options: of the command.
        task: what is done.
        photos: what it is done with.
        folder: for what goes to standard output; None for what does not.

    Raises:
        ConfigError: for a name that does not fit, or results that would be written to one file.
    """
    given, form = options.output if folder is None else f"{folder}/", options.format
    named = given is not None and not is_folder(given)
    if named and len(photos) > 1:
        raise ConfigError(f"{len(photos)} photos need a folder as output: write {given}/")
    if named and task.kind == "moving" and not Path(given).suffix:
        raise ConfigError(
            f"{given!r} says no format: use .mp4, .gif, .webp, {given}/%04d.png, or a folder {given}/"
        )
    if named and form:
        raise ConfigError("the name of the output says its format: leave --format out, or give a folder")
    if folder is not None and form == FRAMES:
        raise ConfigError("a folder of frames does not fit into standard output: choose another --format")
    suffix = "" if form == FRAMES else f".{form}" if form else KINDS[task.kind][0]
    jobs: dict[Path, Job] = {}
    for photo in photos:
        stem = "stdin" if photo == STDIN else Path(photo).stem
        stem = f"{stem}-{task.name}" if task.name else stem
        path = Path(given) if named else Path(given or "") / f"{stem}{suffix}"
        if path in jobs:
            raise ConfigError(f"two photos would be written to {path}: give them one by one")
        jobs[path] = Job(photo, path, _codes_path(options, task, stem, len(photos)))
        if task.kind == "moving":
            check_frames(path, 30 if options.fps is None else options.fps, options.background)
        elif task.kind == "picture":
            check_transparency(path.suffix, options.background)
    return list(jobs.values())


def _codes_path(options: Namespace, task: Task, stem: str, count: int) -> Path | None:
    given = options.codes
    if given is None:
        if task.kind != "codes" and options.include_identity:
            raise ConfigError(
                "--include-identity does nothing without --codes FILE: add it, or leave both out"
            )
        return None
    check_identity(options.include_identity)
    if not is_folder(given) and count > 1:
        raise ConfigError(f"the codes of {count} results need a folder: write --codes {given}/")
    return Path(given) / f"{stem}{SUFFIX}" if is_folder(given) else Path(given)


def check_job(options: Namespace, task: Task, job: Job) -> None:
    """Makes sure that a result can be written where it shall be; see ``output_path``."""
    inputs = [one for one in (job.photo, *task.others) if one != STDIN]
    if task.kind == "moving" and is_frames(job.path):
        frames_folder(job.path)
    else:
        output_path(job.path, KINDS[task.kind], inputs, options.overwrite)
    if job.codes is not None:
        output_path(job.codes, [SUFFIX], inputs, options.overwrite)


# -- doing it ---------------------------------------------------------------------------------------


def _outcomes(options: Namespace, task: Task, jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Does all jobs, in the order of the photos; here or, with workers, in processes of their own."""
    count = min(options.workers, len(jobs))
    if count == 1:
        work = _Work(options, task)
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, _begin, (options, task, max(1, (os.cpu_count() or 1) // count))) as pool:
        yield from pool.imap(_do, jobs)


class _Work:
    """Does single jobs with one model."""

    def __init__(self, options: Namespace, task: Task) -> None:
        self.options, self.task = options, task
        self.read = load(options)

    def __call__(self, job: Job) -> Outcome:
        done = os.path.exists(job.path) and (not job.path.is_dir() or any(job.path.iterdir()))
        if self.options.skip_existing and done:
            self.read.progress.note(f"{job.path} exists already: passed over {job.photo}")
            return Outcome(job)
        first = len(self.read.warnings)
        try:
            check_job(self.options, self.task, job)
            written = self.task.make(self.options, self.read, job)
        except FaceSepError as error:
            return Outcome(job, error=error)
        finally:
            self.read.forget(job.photo)
        return Outcome(job, written, self.read.warnings[first:])


_work: _Work | FaceSepError
"""In processes of their own."""


def _begin(options: Namespace, task: Task, threads: int) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the others
    torch.set_num_threads(threads)
    try:
        _work = _Work(options, task)
    except FaceSepError as error:  # a pool would start another process, again and again
        _work = error


def _do(job: Job) -> Outcome:
    if isinstance(_work, FaceSepError):
        raise FaceSepError(str(_work))
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is half written is deleted then
    try:
        outcome = _work(job)
    finally:
        signal.signal(signal.SIGTERM, before)
    # Errors of other kinds do not all travel.
    return outcome if outcome.error is None else Outcome(job, error=FaceSepError(str(outcome.error)))


def _report(options: Namespace, outcome: Outcome, count: int) -> str:
    """Prints what became of a job; raises what went wrong with a single one."""
    if outcome.error is not None:
        if count == 1:
            raise outcome.error
        message = " ".join(str(outcome.error).split())
        tell(f"facesep: error: {message}\n")
        if options.json:
            say_json({"photo": outcome.job.photo, "error": message})
        return "failed"
    if outcome.written is None:
        return "passed over"
    if options.output == STDIN:
        deliver(outcome.job.path)
    elif options.json:
        say_json({"photo": outcome.job.photo, **outcome.written, "warnings": list(outcome.warnings)})
    else:
        say("\n".join(outcome.written.values()))
    return "written"


def _sum_up(options: Namespace, counts: Counter[str]) -> None:
    """One line at the end of several photos."""
    total = sum(counts.values())
    rest = ", ".join(f"{counts[what]} {what}" for what in ("written", "passed over") if counts[what])
    if counts["failed"]:
        rest = rest and f" ({rest})"
        raise FaceSepError(f"{counts['failed']} of {total} photos could not be used{rest}")
    if not options.quiet:
        tell(f"facesep: {rest} of {total}\n")
