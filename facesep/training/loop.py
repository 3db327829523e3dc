"""The training loop of one network, or of several as one module, with one optimiser.

Heads, refiner, face finder and face pointer are trained by it. The alternating training of
``facesep.training.em``, with its phases and many optimisers, shares log, averages and checkpoints with it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from facesep.errors import CheckpointError
from facesep.training.checkpoint import Checkpoints
from facesep.training.optim import Average, optimiser_tensors, restore_optimisers
from facesep.training.processes import Processes, new_accelerator
from facesep.training.runlog import RunLog


class Loop(ABC):
    """Steps, learning rate, averaged weights, log and checkpoints.

    A training is a subclass with ``losses`` and ``rate``. What is random in a step must follow from
    the step's number and the process alone: then a run that was stopped goes on to the same numbers.

    Args:
        network: what learns.
        optimiser: of its parameters.
        out: folder for ``checkpoints/`` and ``log.jsonl``.
        steps: how many there are in all; None for a run that ends by its time alone.
        minutes: ends the run after so much time, interruptions not counted; 0: no limit.
        batch_size: images of a step, on each device.
        clip: largest norm of the gradient.
        average: decay of the averaged weights (0 for none) or the average itself.
        log_every: steps between lines of the log.
        save_every: steps between checkpoints.
        keep: how many checkpoints stay.
        config: written into each checkpoint.
        fixed: keys of ``config`` that a run may not change when it goes on.
        accelerator: device, precision and processes; by default in full precision.
        bar: whether to draw a progress bar.

    Attributes:
        step: steps that are done.
        seconds: how long they took.
        skipped: those of them that were left out because something was not finite.
    """

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        out: str | Path,
        *,
        steps: int | None = None,
        minutes: float = 0.0,
        batch_size: int,
        clip: float,
        average: float | Average = 0.0,
        log_every: int = 50,
        save_every: int = 1000,
        keep: int = 2,
        config: Mapping[str, Any] | None = None,
        fixed: tuple[str, ...] = (),
        accelerator: Accelerator | None = None,
        bar: bool = False,
    ) -> None:
        self.network, self.optimiser, self.out = network, optimiser, Path(out)
        self.steps, self.minutes, self.batch_size, self.clip = steps, minutes, batch_size, clip
        self.log_every, self.save_every = log_every, save_every
        self.about, self.fixed = dict(config or {}), fixed
        self.accelerator = accelerator or new_accelerator(bf16=False)
        self.processes = Processes(self.accelerator)
        self.device = self.accelerator.device
        self.average = average if isinstance(average, Average) else Average(network, average)
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = RunLog(self.out, self.processes, bar=bar)
        self.checkpoints = Checkpoints(self.out / "checkpoints", self.processes, keep)
        self.step, self.skipped, self.seconds = 0, 0, 0.0

    @abstractmethod
    def losses(self, step: int) -> dict[str, Tensor]:
        """Loss terms of a step by name; networks compute under ``accelerator.autocast()``."""

    @abstractmethod
    def rate(self, step: int) -> float:
        """Learning rate of a step."""

    def saved(self) -> dict[str, float]:
        """Called after every checkpoint; returns numbers for the log."""
        return {}

    @property
    def done(self) -> float:
        """How much of the run is behind, of its steps or of its time; the same on all processes."""
        done = self.step / self.steps if self.steps else 0.0
        if self.minutes:
            done = self.processes.agreed(max(done, self.seconds / (60 * self.minutes)))
        return done

    def run(self) -> None:
        """Runs what is left of the steps, with a checkpoint at the end."""
        self.log.begin(self.steps, self.step)
        began = time.monotonic() - self.seconds
        while self.done < 1:
            terms = self.learn(self.step)
            self.step += 1
            self.seconds = time.monotonic() - began
            self.log.step(terms, self.batch_size)
            last = self.done >= 1
            if last or self.step % self.log_every == 0:
                self.log.means(self.skipped)
            if last or self.step % self.save_every == 0:
                self.save()
                if numbers := self.saved():
                    self.log.write(numbers)
        self.log.end()

    def learn(self, step: int) -> dict[str, Tensor]:
        """One step of the optimiser; without effect where loss or gradient are not finite."""
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)
        terms = self.losses(step)
        self.optimiser.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        parameters = list(self.network.parameters())
        self.processes.average(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, self.clip)
        if torch.isfinite(norm):  # gradients are averaged over the processes: all decide alike
            self.optimiser.step()
            self.average.update()
        else:
            self.skipped += 1
        return terms

    def save(self) -> bool:
        """Writes ``checkpoints/<step>``; see ``facesep.training.checkpoint.Checkpoints.save``."""
        self.processes.check_same({"networks": self.network})
        groups = {"networks": self.network.state_dict(), "optimiser": optimiser_tensors(self._optimisers())}
        if self.average.decay > 0:
            groups["average"] = self.average.values
        progress = {"step": self.step, "skipped": self.skipped, "seconds": self.seconds}
        progress |= {"average_steps": self.average.steps, "config": self.about}
        return self.checkpoints.save(self.step, groups, progress)

    def resume(self, folder: str | Path | None = None) -> None:
        """Goes on from a checkpoint, by default from the newest.

        Raises:
            CheckpointError: if there is none, or it belongs to other networks.
        """
        state = self.checkpoints.load(folder)
        before = state.progress["config"]
        for name in self.fixed:
            if before[name] != self.about[name]:
                raise CheckpointError(
                    f"{folder or self.checkpoints.folder} was made with another {name}: use the run's "
                    "configuration"
                )
        self.network.load_state_dict(state.groups["networks"])
        if "average" in state.groups:
            self.average.restore(state.groups["average"], state.progress["average_steps"])
        restore_optimisers(self._optimisers(), state.groups["optimiser"])
        self.step, self.skipped = state.progress["step"], state.progress["skipped"]
        self.seconds = state.progress.get("seconds", 0.0)

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {type(self.optimiser).__name__.lower(): self.optimiser}
