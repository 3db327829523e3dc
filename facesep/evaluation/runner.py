"""What every evaluation script does around its work: parser, errors, report, and units of work.

Units of work are dealt out to the processes of a run, and what is done can be kept in a folder, so that a
stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facesep.errors import ConfigError, FaceSepError
from facesep.evaluation.report import markdown, write_report

logger = logging.getLogger(__name__)


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring, with its example as it stands."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run_script(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], object],
    errors: tuple[type[Exception], ...] = (FaceSepError,),
) -> int:
    """Parses the arguments, shows the log on the standard error and does the work.

    An expected error becomes one line.

    Returns:
        The exit status.
    """
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("facesep").setLevel(logging.INFO)
    try:
        work(args)
    except errors as error:
        logger.error("error: %s", error)
        return 2
    return 0


def finish(args: argparse.Namespace, checkpoint: str | None, tables: Sequence[Mapping[str, Any]]) -> None:
    """Prints tables on a checkpoint and puts them into the report of ``--out``."""
    print(markdown(tables), flush=True)  # noqa: T201 first: what was measured is not lost with a full disk
    if args.out:
        write_report(args.out, checkpoint, tables)


def progress(done: int, total: int, what: str = "photos") -> None:
    """Logs how far it is."""
    logger.info("%s/%s %s", done, total, what)


@dataclass(frozen=True)
class Processes:
    """This process among all.

    Attributes:
        rank: 0 for the one that reports.
        count: how many there are.
        device: where this one computes.
        wait: returns when all have come here.
    """

    rank: int = 0
    count: int = 1
    device: str = "cpu"
    wait: Callable[[], None] = lambda: None

    @staticmethod
    def of_this_run(device: str = "cpu", work: str | None = None) -> Processes:
        """One, unless ``torchrun`` (or ``accelerate launch`` on GPUs) started several.

        Args:
            device: ``cpu``, or ``cuda`` for one accelerator each.
            work: folder in which the results of several processes meet.

        Raises:
            ConfigError: if several have no such folder, or accelerate is not installed.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
            return Processes(device=device)
        if not work:
            raise ConfigError("several processes need --work DIR to put their results together")
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise ConfigError(
                "several processes need the package accelerate: pip install 'facesep[eval]'"
            ) from error
        state = PartialState(cpu=torch.device(device).type == "cpu")
        return Processes(state.process_index, state.num_processes, str(state.device), state.wait_for_everyone)

    @property
    def main(self) -> bool:
        """Whether this is the process that reports."""
        return self.rank == 0


class ResultLog:
    """Results of units of work, one JSON line for each.

    Every process appends to a file of its own, ``<name>.<rank>.jsonl``; all files are read together.
    ``<name>.json`` holds the settings that the results belong to.

    Args:
        folder: where the files are, created if need be; None keeps results in memory alone.
        name: of the measurement.
        settings: JSON data; results of other settings are refused.
        rank: number of this process.

    Raises:
        ConfigError: if the folder holds results of other settings or cannot be written.
    """

    def __init__(
        self, folder: str | Path | None, name: str, settings: Mapping[str, Any], rank: int = 0
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.name = name
        self.rank = rank
        self._memory: dict[str, Any] = {}
        if self.folder is None:
            return
        wanted = json.dumps(settings, sort_keys=True, indent=1)
        path = self.folder / f"{name}.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                temporary = path.with_name(f"{path.name}.{rank}.part")
                temporary.write_text(wanted, encoding="utf-8")
                os.replace(temporary, path)
            if path.read_text(encoding="utf-8") != wanted:
                raise ConfigError(
                    f"{path} belongs to other settings, weights or photos: choose another folder or delete it"
                )
        except OSError as error:
            raise ConfigError(f"cannot keep results in {folder}: {error}") from error

    def add(self, key: str, record: Any) -> None:
        """Keeps the record of a unit; it is on the disk when this returns."""
        if self.folder is None:
            self._memory[key] = record
            return
        with open(self.folder / f"{self.name}.{self.rank}.jsonl", "a+b") as file:
            if file.tell():  # a line that was cut short must not swallow this one
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps([key, record], allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def done(self) -> dict[str, Any]:
        """Records of all processes by key."""
        return dict(self._memory) if self.folder is None else read_results(self.folder, self.name)


def read_results(folder: str | Path, name: str) -> dict[str, Any]:
    """Records that a ``ResultLog`` of that name has kept in a folder, by key."""
    found: dict[str, Any] = {}
    for path in sorted(Path(folder).glob(f"{name}.*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                key, record = json.loads(line)
            except ValueError:  # cut short when the process was stopped
                continue
            found[key] = record
    return found


def measure_units(
    keys: Sequence[str],
    measure: Callable[[Sequence[int]], Sequence[Any]],
    log: ResultLog,
    processes: Processes,
    batch: int = 1,
    on_unit: Callable[[int, int], object] | None = None,
) -> dict[str, Any] | None:
    """Measures units of work batch by batch; batches are dealt out to the processes, and none is done twice.

    Args:
        keys: names of the units.
        measure: positions of some units among the keys to their records, JSON data.
        log: keeps what is done.
        processes: those of this run.
        batch: units measured at a time.
        on_unit: called with the numbers of units done and to do by this process.

    Returns:
        All records by key; None in processes that do not report.
    """
    known, done = log.done(), 0
    batches = [range(start, min(start + batch, len(keys))) for start in range(0, len(keys), batch)]
    mine = batches[processes.rank :: processes.count]
    for places in mine:
        if not all(keys[place] in known for place in places):
            for place, record in zip(places, measure(places), strict=True):
                log.add(keys[place], record)
        done += len(places)
        if on_unit:
            on_unit(done, sum(map(len, mine)))
    processes.wait()
    return log.done() if processes.main else None
