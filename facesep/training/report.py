"""What a run says while it works: a progress bar, a log file, trackers, and sheets of samples."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
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


@contextmanager
def not_fatal(what: str) -> Iterator[None]:
    """Says what could not be written and goes on: a full disk is no reason to lose a run."""
    try:
        yield
    except (OSError, ImageError) as error:
        print(f"warning: {what} is not written, training goes on: {error}", flush=True)  # noqa: T201


class Report:
    """Collects loss terms and passes their means on.

    Args:
        out: ``log.jsonl`` and ``samples/`` appear here.
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
        config: dict[str, Any] | None = None,
        bar: bool = False,
    ) -> None:
        self.out, self.processes = out, processes
        self.trackers, self.bar = trackers, bar
        self.progress: tqdm | None = None
        self.totals: dict[str, list[Tensor]] = defaultdict(list)
        if trackers:
            self._start_trackers(config or {})

    def _start_trackers(self, config: dict[str, Any]) -> None:
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

    def begin(self, phase: int, kind: str, step: int, steps: int) -> None:
        """A phase starts, or goes on at a step."""
        self.phase, self.kind, self.steps, self.at = phase, kind, steps, step
        self.totals.clear()
        self.clock, self.images = time.monotonic(), 0
        if self.progress is not None:
            self.progress.close()
        hidden = not (self.bar and self.processes.first)
        self.progress = tqdm(
            total=steps, initial=step, desc=f"phase {phase} ({kind})", unit="step", disable=hidden
        )

    def step(self, terms: dict[str, Tensor], images: int) -> None:
        """One step was made."""
        self.at += 1
        self.images += images
        for name, value in terms.items():
            self.totals[name].append(value)
        if self.progress is not None:
            self.progress.update()

    def log(self, total: int, skipped: int, more: dict[str, float]) -> None:
        """Writes the means since the last call; every process must call it."""
        rate = self.images / max(time.monotonic() - self.clock, 1e-9)
        means = {name: float(torch.stack(values).mean()) for name, values in self.totals.items()}
        means = self.processes.mean(means | more)
        self.totals.clear()
        self.clock, self.images = time.monotonic(), 0
        if not self.processes.first:
            return
        line = {
            "phase": self.phase,
            "kind": self.kind,
            "step": self.at,
            "steps": self.steps,
            "images_per_second": round(rate, 2),
            "processes": self.processes.count,
            "skipped": skipped,
            **{name: round(value, 5) for name, value in means.items()},
        }
        with not_fatal("the log"), open(self.out / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        if self.progress is not None:
            self.progress.set_postfix_str(
                f"{rate:.1f} images/s, pixel {means.get('pixel', float('nan')):.3f}"
            )
        if self.trackers:
            numbers = {name: value for name, value in line.items() if not isinstance(value, str)}
            self.processes.accelerator.log(numbers, step=total)

    def samples(self, total: int, rows: list[Tensor]) -> None:
        """Writes rows of pictures ``[N, 3, S, S]`` in 0..1 as ``samples/<step>.jpg``."""
        if not self.processes.first:
            return
        sheet = torch.cat([torch.cat(list(row), -1) for row in rows], -2)
        folder = self.out / "samples"
        with not_fatal("a sheet of samples"):
            folder.mkdir(parents=True, exist_ok=True)
            write_image(sheet, folder / f"{total:08d}.jpg")

    def end(self) -> None:
        """Closes the bar and the trackers."""
        if self.progress is not None:
            self.progress.close()
        if self.trackers:
            self.processes.accelerator.end_training()
