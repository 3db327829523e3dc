"""The alternating training (Sec. 3.2 and 3.3 of the paper): phases D and E, and a joint phase.

A batch's road: the ``facesep.training.loader.Loader`` makes it; ``Trainer.learn`` splits it; the
phase (``facesep.training.phases``) reads its codes from the book, renders them and compares images and
codes; processes average gradients; optimisers, code book and averaged weights move; the log notes the terms.

Every step draws its randomness from (seed, phase, step, process) alone, so a resumed run repeats the
numbers of one that was never stopped.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from facesep.card import make_card
from facesep.checkpoint import write_checkpoint
from facesep.config import to_dict
from facesep.errors import CheckpointError, ConfigError
from facesep.nets.decoder import Decoder
from facesep.nets.encoder import build_encoder
from facesep.training.checkpoint import Checkpoints
from facesep.training.codebook import CodeBook
from facesep.training.config import TrainConfig
from facesep.training.dataset import Batch, TrainingSet
from facesep.training.loader import Loader, Step
from facesep.training.optim import (
    SHAPE_SGD_RATIO,
    Average,
    build_optimisers,
    cosine_rate,
    optimiser_tensors,
    restore_optimisers,
)
from facesep.training.phases import ActivePhase, Networks, Terms, activate
from facesep.training.processes import Processes, new_accelerator
from facesep.training.runlog import RunLog


class Trainer:
    """Holds decoder, encoder, code book and optimisers, and runs the schedule.

    Args:
        config: the run.
        data: training photos with labels.
        out: folder for checkpoints and logs.
        perceptual: network with ``taps``; None leaves L_perc out.
        recogniser: network with ``embed(image, points)``; None leaves L_id out.
        accelerator: device, precision and processes.
        log: where numbers and samples go; by default ``out/log.jsonl`` alone.
        checkpointing_steps: steps between checkpoints; there is one after every phase in any case.
        checkpoints_total_limit: how many checkpoints are kept, the newest.
        publish: called with a checkpoint and its round after every phase that trained the encoder.

    Attributes:
        phase: number of the present phase of the schedule.
        step: steps of it that are done.
        total: steps that are done in all.
        skipped: those of them that were left out because something was not finite.
        seconds: how long the present phase has taken.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingSet,
        out: str | Path,
        perceptual: nn.Module | None = None,
        recogniser: nn.Module | None = None,
        accelerator: Accelerator | None = None,
        log: RunLog | None = None,
        checkpointing_steps: int = 1000,
        checkpoints_total_limit: int = 2,
        publish: Callable[[Path, int], None] | None = None,
    ) -> None:
        self.config, self.data, self.out = config, data, Path(out)
        self.accelerator = accelerator or new_accelerator(config.bf16)
        self.processes, self.device = Processes(self.accelerator), self.accelerator.device
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = log or RunLog(self.out, self.processes)
        self.checkpoints = Checkpoints(self.out / "checkpoints", self.processes, checkpoints_total_limit)
        self.checkpointing_steps, self.publish = checkpointing_steps, publish
        torch.manual_seed(config.seed)
        model = config.model_config()
        self.decoder = Decoder(model.decoder).to(self.device)
        self.decoder.recompute = config.recompute
        # In evaluation mode: a code must not depend on the other photos of a batch, and photos and renders
        # meet the same statistics, those of the pretrained heads.
        self.encoder = build_encoder(model.encoder).to(self.device).eval()
        self.trained = {"decoder": self.decoder, "encoder": self.encoder}
        losses = (net if net is None else net.to(self.device) for net in (perceptual, recogniser))
        self.networks = Networks(self.decoder, self.encoder, *losses)
        self.optimisers = build_optimisers(config, self.decoder, self.encoder)
        self.averages = {name: Average(module, config.ema) for name, module in self.trained.items()}
        self.phase, self.step, self.total, self.skipped, self.seconds = 0, 0, 0, 0, 0.0
        rank, count = self.processes.rank, self.processes.count
        self.book = CodeBook(self.out / "codebook", len(data.ids), data.per_photo, rank, count)

    def begin(self) -> None:
        """Starts a new run from the present weights; the code book holds labels or the encoder's codes."""
        if self.config.start == "labels":
            for rows in self.book.rows().split(4096):
                self.book.write(rows, self.data.labels(rows))
        else:
            self._encode_book(self.activate(0))
        for average in self.averages.values():
            average.restart()  # from weights that were loaded since

    def activate(self, number: int) -> ActivePhase:
        """A phase of the schedule, ready for its steps."""
        return activate(self.config, self.config.schedule[number], self.networks, self.book)

    # -- the loop -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Runs what is left of the schedule, with a checkpoint after every phase.

        Raises:
            ConfigError: if there are fewer photos than processes.
        """
        while self.phase < len(self.config.schedule):
            phase = self.activate(self.phase)
            rows, per_epoch = self._rows(phase)
            steps = max(round(phase.phase.epochs * per_epoch), 1)
            if self.step == 0:
                self._begin_codes(phase)
            self.log.begin(steps, self.step, phase=self.phase, kind=phase.phase.kind)
            began, done = time.monotonic() - self.seconds, self._done(phase, steps)
            for batch in Loader(self.data, self._plan(phase, rows, per_epoch, steps)):
                terms = self.learn(phase, batch, done)
                self.step += 1
                self.total += 1
                self.seconds = time.monotonic() - began
                done = self._done(phase, steps)
                self.log.step(terms, len(batch.rows))
                if self.step % self.config.log_every == 0 or done >= 1:
                    self.log.means(self.skipped, self._code_norms(batch.rows), self.total)
                if done >= 1:
                    break
                if self.total % self.checkpointing_steps == 0:
                    self.save()
            self.processes.check_same(self.trained)
            self.log.samples(self.total, self._samples(phase, rows[:6]))
            self.phase, self.step, self.seconds = self.phase + 1, 0, 0.0
            written = self.save()
            if written and phase.phase.kind != "decoder" and self.publish and self.processes.first:
                self.publish(self.checkpoints.path(self.total), self._round())

    def learn(self, phase: ActivePhase, batch: Batch, done: float) -> Terms:
        """One step on some rows of the code book; without effect where loss or gradient are not finite.

        Args:
            phase: the phase.
            batch: its photos.
            done: how much of the phase is behind, for the learning rate.

        Returns:
            The loss terms, means over the parts of the batch.
        """
        torch.manual_seed(self._seed(self.step))
        phase.leaves.clear()
        totals: dict[str, list[Tensor]] = defaultdict(list)
        checked: list[Tensor] = []  # for what is not finite; asked once, as a GPU works on until it is asked
        for part in batch.split(self.config.micro_batch):
            with self.accelerator.autocast():
                terms = phase.losses(self.step, part)
            loss = sum(terms.values()) * (len(part.rows) / len(batch.rows))
            loss.backward()
            checked.append(loss.detach())
            for name, value in terms.items():
                totals[name].append(value.detach())
        moving = {name: self.optimisers[name] for name in phase.moving}
        parameters = {name: one.param_groups[0]["params"] for name, one in moving.items()}
        self.processes.average(p for own in parameters.values() for p in own)
        checked += [nn.utils.clip_grad_norm_(own, self.config.clip) for own in parameters.values()]
        codes = [leaf.grad for leaf in phase.leaves]
        checked += [gradient.sum() for gradient in codes]
        if self.processes.all(bool(torch.isfinite(torch.stack(checked)).all())):
            rate = cosine_rate(phase.phase.learning_rate, phase.phase.final_learning_rate, done)
            for optimiser in moving.values():
                sgd = isinstance(optimiser, torch.optim.SGD)
                optimiser.param_groups[0]["lr"] = rate * (SHAPE_SGD_RATIO if sgd else 1.0)
                optimiser.step()
            for name in {"decoder" if name == "decoder" else "encoder" for name in moving}:
                self.averages[name].update()
            if codes:
                self.book.update(batch.rows, torch.cat(codes), self.config.codes_learning_rate)
        else:
            self.skipped += 1
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        return {name: torch.stack(values).mean() for name, values in totals.items()}

    def _done(self, phase: ActivePhase, steps: int) -> float:
        """How much of a phase is behind, of its steps or of its time; the same on all processes."""
        done, minutes = self.step / steps, phase.phase.minutes
        return self.processes.agreed(max(done, self.seconds / (60 * minutes))) if minutes else done

    def _round(self) -> int:
        """How often the encoder has had its turn: rounds of EM."""
        return sum(phase.kind != "decoder" for phase in self.config.schedule[: self.phase])

    def _rows(self, phase: ActivePhase) -> tuple[Tensor, int]:
        """This process's rows of a phase, and the steps of an epoch, which is the same everywhere."""
        rows = self.data.rows(phase.phase.sharp)
        owner = rows // self.data.per_photo % self.processes.count
        fewest = int(torch.bincount(owner, minlength=self.processes.count).min())
        if fewest == 0:
            raise ConfigError("some processes have no photos in this phase: start fewer processes")
        return rows[owner == self.processes.rank], max(fewest // self.config.batch_size, 1)

    def _plan(self, phase: ActivePhase, rows: Tensor, per_epoch: int, steps: int) -> Iterator[Step]:
        """What the steps that are left of a phase want to see."""
        size = self.config.batch_size
        for step in range(self.step, steps):
            epoch, position = divmod(step, per_epoch)
            generator = torch.Generator().manual_seed(self._seed(epoch, salt=1))
            order = torch.randperm(len(rows), generator=generator)
            chosen, seed = rows[order[position * size :][:size]], self._seed(step, salt=2)
            yield Step(chosen, phase.image_size, seed, self.config.augmentation, phase.partners)

    def _seed(self, number: int, salt: int = 0) -> int:
        run = self.config.seed * 1_000_003 + self.phase * 10_007 + salt
        return (run * 1_000_003 + number) * 4099 + self.processes.rank

    # -- the code book ------------------------------------------------------------------------------

    def _begin_codes(self, phase: ActivePhase) -> None:
        """Phase D starts from the encoder's codes (z^0), once the encoder has been trained at all."""
        if phase.phase.kind == "decoder" and self._round() and not phase.phase.keep_codes:
            self._encode_book(phase)
        self.book.mark()

    @torch.no_grad()
    def _encode_book(self, phase: ActivePhase) -> None:
        for rows in self.book.rows().split(64):
            batch = self.data.batch(rows, phase.image_size)
            with self.accelerator.autocast():
                self.book.write(rows, self.networks.encode(batch))

    # -- state --------------------------------------------------------------------------------------

    def export(self, folder: Path, add: Callable[[Path], None] | None = None) -> None:
        """Writes the averaged weights as a checkpoint; ``train_config.json`` records the run."""
        model, run = to_dict(self.config.model_config()), {"run": to_dict(self.config)}
        weights = {name: average.state() for name, average in self.averages.items()}
        card = make_card(model, train=run)
        write_checkpoint(folder, model, weights, {"train_config.json": run}, card, add=add)

    def save(self) -> bool:
        """Writes ``out/checkpoints/<step>``: averaged weights, and beside them the state.

        Returns:
            Whether it could be written. If not, the last good one is untouched and a warning says so.
        """
        groups = {name: module.state_dict() for name, module in self.trained.items()}
        groups["optimisers"] = optimiser_tensors(self.optimisers)
        if self.config.ema > 0:
            groups |= {f"{name}_average": average.values for name, average in self.averages.items()}
        progress = {
            "phase": self.phase,
            "step": self.step,
            "total": self.total,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "round": self._round(),
            "epochs": sum(phase.epochs for phase in self.config.schedule[: self.phase]),
            "average_steps": {name: average.steps for name, average in self.averages.items()},
            "model": to_dict(self.config.model_config()),
        }
        return self.checkpoints.save(self.total, groups, progress, self.book.save, self.export)

    def resume(self, folder: str | Path | None = None) -> None:
        """Continues from a checkpoint (the newest in ``out/checkpoints`` by default).

        Raises:
            CheckpointError: if there is none, it is damaged, or it belongs to other data.
        """
        groups, progress, books = self.checkpoints.load(folder)
        if progress["model"] != to_dict(self.config.model_config()):
            raise CheckpointError(
                f"{folder or self.checkpoints.folder} was made by a run with another model configuration"
            )
        for name, module in self.trained.items():
            module.load_state_dict(groups[name])
            values = groups.get(f"{name}_average", groups[name])
            self.averages[name].restore(values, progress["average_steps"][name])
        restore_optimisers(self.optimisers, groups["optimisers"])
        self.book.load(books)
        self.phase, self.step = progress["phase"], progress["step"]
        self.total, self.skipped = progress["total"], progress["skipped"]
        self.seconds = progress.get("seconds", 0.0)

    # -- what people look at ------------------------------------------------------------------------

    def _code_norms(self, rows: Tensor) -> dict[str, float]:
        """Root mean square of the codes in the book: cosine losses let lengths drift."""
        return {
            f"norm_{name}": float(code.square().mean().sqrt()) for name, code in self.book.read(rows).items()
        }

    @torch.no_grad()
    def _samples(self, phase: ActivePhase, rows: Tensor) -> list[Tensor]:
        """Photos, renders of their codes in the book, and renders of the encoder's codes."""
        batch = self.data.batch(rows, phase.image_size)
        with self.accelerator.autocast():
            book = phase.render(self.book.read(rows).to(self.device)).image
            encoded = phase.render(self.networks.encode(batch)).image
        return [image.float().cpu() for image in (batch.target, book, encoded)]
