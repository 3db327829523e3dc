"""What every training says while it works: a log file, a progress bar, trackers, and sheets of samples."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from facesep.errors import ConfigError, ImageError
from facesep.provenance import write_image
from facesep.training.processes import Processes

TRACKERS = ("tensorboard", "wandb", "trackio")

logger = logging.getLogger(__name__)


@contextmanager
def not_fatal(what: str) -> Iterator[None]:
    """Warns of what could not be written and goes on: a full disk is no reason to lose a run."""
    try:
        yield
    except (OSError, ImageError) as error:
        logger.warning("%s is not written, training goes on: %s", what, error)


class RunLog:
    """Collects loss terms and writes their means, one JSON object a line, to ``log.jsonl``.

    Args:
        out: folder of the run; ``log.jsonl`` and ``samples/`` appear here.
        processes: numbers are averaged over them; the first one writes.
        trackers: names among ``tensorboard``, ``wandb`` and ``trackio``, whose packages must be installed.
        config: shown by the trackers.
        bar: whether to draw a progress bar.

    Raises:
        ConfigError: for an unknown tracker or one whose package is missing.
    """

    def __init__(
        self,
        out: Path,
        processes: Processes,
        trackers: tuple[str, ...] = (),
        config: Mapping[str, Any] | None = None,
        bar: bool = False,
    ) -> None:
        self.out, self.processes = out, processes
        self.trackers, self.hidden = trackers, not (bar and processes.first)
        self.progress: tqdm | None = None
        self.totals: dict[str, list[Tensor]] = defaultdict(list)
        if trackers:
            self._start_trackers(config or {})

    def _start_trackers(self, config: Mapping[str, Any]) -> None:
        accelerator = self.processes.accelerator
        for name in self.trackers:
            if name not in TRACKERS:
                raise ConfigError(f"--report_to knows {', '.join(TRACKERS)}, not {name!r}")
            try:
                __import__(name)
            except ImportError as error:
                raise ConfigError(f"--report_to {name} needs its package: pip install {name}") from error
        accelerator.log_with = list(self.trackers)
        accelerator.project_configuration.set_directories(str(self.out))
        accelerator.init_trackers("facesep", {"config": json.dumps(config)})

    def begin(self, steps: int | None, step: int = 0, **where: int | str) -> None:
        """Training starts, or goes on at ``step`` of ``steps``; ``where`` opens each line: phase and such."""
        self.where, self.steps, self.at = where, steps, step
        self._reset()
        self.end_bar()
        title = " ".join(str(value) for value in where.values())
        self.progress = tqdm(total=steps, initial=step, desc=title, unit="step", disable=self.hidden)

    def _reset(self) -> None:
        self.totals.clear()
        self.clock, self.images = time.monotonic(), 0

    def step(self, terms: Mapping[str, Tensor], images: int) -> None:
        """One step was made: its loss terms (read later, so that a GPU need not be waited for) and images."""
        self.at += 1
        self.images += images
        for name, value in terms.items():
            self.totals[name].append(value.detach())
        self.progress.update()

    def means(self, skipped: int, more: Mapping[str, float] | None = None, total: int | None = None) -> None:
        """Writes the means since the last call; every process must call it.

        Args:
            skipped: steps that were left out because something was not finite.
            more: further numbers.
            total: step for the trackers, if it is another one than that of ``begin``.
        """
        rate = self.images / max(time.monotonic() - self.clock, 1e-9)
        means = {name: float(torch.stack(values).mean()) for name, values in self.totals.items()}
        means = self.processes.mean(means | dict(more or {}))
        speed = {"images_per_second": round(rate, 2), "processes": self.processes.count, "skipped": skipped}
        self.write(speed | means, total)
        first = next(iter(means.items()), ("loss", float("nan")))
        self.progress.set_postfix_str(f"{rate:.1f} images/s, {first[0]} {first[1]:.3f}")
        self._reset()

    def write(self, values: Mapping[str, float], total: int | None = None) -> None:
        """Writes a line of numbers, rounded to five places, for the present step."""
        if not self.processes.first:
            return
        line = {**self.where, "step": self.at, "steps": self.steps}
        line |= {name: round(value, 5) for name, value in values.items()}
        with not_fatal("the log"), open(self.out / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.trackers:
            numbers = {name: value for name, value in line.items() if not isinstance(value, str)}
            self.processes.accelerator.log(numbers, step=self.at if total is None else total)

    def samples(self, total: int, rows: list[Tensor]) -> None:
        """Writes rows of pictures ``[N, 3, S, S]`` in 0..1 as ``samples/<step>.jpg``."""
        if not self.processes.first:
            return
        sheet = torch.cat([torch.cat(list(row), -1) for row in rows], -2)
        folder = self.out / "samples"
        with not_fatal("a sheet of samples"):
            folder.mkdir(parents=True, exist_ok=True)
            write_image(sheet, folder / f"{total:08d}.jpg")

    def end_bar(self) -> None:
        """Closes the progress bar."""
        if self.progress is not None:
            self.progress.close()

    def end(self) -> None:
        """Closes the bar and the trackers, and leaves the group of processes.

        A process that exits while threads of the group still run may abort instead of ending.
        """
        self.end_bar()
        self.processes.accelerator.end_training()
