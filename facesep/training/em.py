"""The alternating training (Sec. 3.2 and 3.3 of the paper): phases D and E, and a joint phase.

Every step draws its randomness from (seed, phase, step, process) alone, so a resumed run repeats the
numbers of one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from facesep.codes import ATTRIBUTES, Codes
from facesep.config import to_dict
from facesep.errors import CheckpointError, ConfigError
from facesep.nets.decoder import Decoder
from facesep.nets.encoder import build_encoder
from facesep.training.augment import warp_pose
from facesep.training.checkpoint import (
    clean,
    latest_checkpoint,
    load_state,
    optimiser_tensors,
    restore_optimisers,
    save_state,
)
from facesep.training.codebook import CodeBook
from facesep.training.config import Phase, TrainConfig
from facesep.training.dataset import Batch, TrainingSet
from facesep.training.loader import Loader, Step
from facesep.training.objective import Objective, Terms
from facesep.training.optim import SHAPE_SGD_RATIO, Average, build_optimisers, cosine_rate
from facesep.training.processes import Processes, new_accelerator
from facesep.training.report import Report


class Trainer:
    """Holds decoder, encoder, code book and optimisers, and runs the schedule.

    Args:
        config: the run.
        data: training photos with labels.
        out: folder for checkpoints and logs.
        perceptual: network with ``taps``; None leaves L_perc out.
        recogniser: network with ``embed(image, points)``; None leaves L_id out.
        accelerator: device, precision and processes.
        report: where numbers and samples go; by default ``out/log.jsonl`` alone.
        checkpointing_steps: steps between checkpoints; there is one after every phase in any case.
        checkpoints_total_limit: how many checkpoints are kept, the newest.
        publish: called with a checkpoint and its round after every phase that trained the encoder.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingSet,
        out: str | Path,
        perceptual: nn.Module | None = None,
        recogniser: nn.Module | None = None,
        accelerator: Accelerator | None = None,
        report: Report | None = None,
        checkpointing_steps: int = 1000,
        checkpoints_total_limit: int = 2,
        publish: Callable[[Path, int], None] | None = None,
    ) -> None:
        self.config, self.data, self.out = config, data, Path(out)
        self.accelerator = accelerator or new_accelerator(config.bf16)
        self.processes = Processes(self.accelerator)
        self.device = self.accelerator.device
        self.out.mkdir(parents=True, exist_ok=True)
        self.report = report or Report(self.out, self.processes)
        self.publish = publish
        self.checkpointing_steps, self.limit = checkpointing_steps, checkpoints_total_limit
        torch.manual_seed(config.seed)
        model = config.model_config()
        self.decoder = Decoder(model.decoder).to(self.device)
        self.decoder.recompute = config.recompute
        # In evaluation mode: a code must not depend on the other photos of a batch, and photos and renders
        # meet the same statistics, those of the pretrained heads.
        self.encoder = build_encoder(model.encoder).to(self.device).eval()
        perceptual = perceptual.to(self.device) if perceptual is not None else None
        recogniser = recogniser.to(self.device) if recogniser is not None else None
        self.objective = Objective(config, self.decoder, self.encoder, perceptual, recogniser)
        self.optimisers = build_optimisers(config, self.decoder, self.encoder)
        self.averages = {
            "decoder": Average(self.decoder, config.ema),
            "encoder": Average(self.encoder, config.ema),
        }
        self.phase, self.step, self.total, self.skipped = 0, 0, 0, 0
        self.seconds = 0.0  # of the present phase
        self.book = CodeBook(
            self.out / "codebook",
            len(data.ids),
            data.per_photo,
            self.processes.rank,
            self.processes.count,
        )

    # -- state --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Starts a new run from the present weights; the code book holds labels or the encoder's codes."""
        if self.config.start == "labels":
            for rows in self.book.rows().split(4096):
                self.book.write(rows, self.data.labels(rows))
        else:
            self._encode_book(self.config.schedule[0])
        for average in self.averages.values():
            average.restart()  # from weights that were loaded since

    def save(self) -> bool:
        """Writes a checkpoint to ``out/checkpoints/<step>``: averaged weights, and the state beside them.

        Returns:
            Whether it could be written. If not, the last good one is untouched and a message is printed.
        """
        groups = {
            "decoder": self.decoder.state_dict(),
            "encoder": self.encoder.state_dict(),
            "optimisers": optimiser_tensors(self.optimisers),
        }
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
        }
        weights = {name: average.state() for name, average in self.averages.items()}
        folder = self.folder()
        written = save_state(folder, self.config, weights, groups, progress, self.book, self.processes)
        if written and self.processes.first:
            clean(folder.parent, self.limit)
        return written

    def folder(self) -> Path:
        """Where a checkpoint of the present step lies."""
        return self.out / "checkpoints" / f"{self.total:08d}"

    def resume(self, folder: str | Path | None = None) -> None:
        """Continues from a checkpoint (the newest in ``out/checkpoints`` by default).

        Raises:
            CheckpointError: if there is none, it is damaged, or it belongs to other data.
        """
        folder = Path(folder) if folder else latest_checkpoint(self.out / "checkpoints")
        groups, progress, books = load_state(folder)
        if progress["model"] != to_dict(self.config.model_config()):
            raise CheckpointError(f"{folder} was made by a run with another model configuration")
        for name, module in (("decoder", self.decoder), ("encoder", self.encoder)):
            module.load_state_dict(groups[name])
            values = groups.get(f"{name}_average", groups[name])
            self.averages[name].values = {k: v.to(self.device) for k, v in values.items()}
            self.averages[name].steps = progress["average_steps"][name]
        restore_optimisers(self.optimisers, groups["optimisers"])
        self.book.load(books)
        self.phase, self.step = progress["phase"], progress["step"]
        self.total, self.skipped = progress["total"], progress["skipped"]
        self.seconds = progress.get("seconds", 0.0)

    # -- the loop -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Runs what is left of the schedule, with a checkpoint after every phase.

        Raises:
            ConfigError: if there are fewer photos than processes.
        """
        while self.phase < len(self.config.schedule):
            phase = self.config.schedule[self.phase]
            rows, per_epoch = self._rows(phase)
            steps = max(round(phase.epochs * per_epoch), 1)
            if self.step == 0:
                self._begin_phase(phase)
            self.report.begin(self.phase, phase.kind, self.step, steps)
            began, done = time.monotonic() - self.seconds, self._done(phase, steps)
            for batch in Loader(self.data, self._plan(phase, rows, per_epoch, steps)):
                terms = self._step(phase, batch, done)
                self.step += 1
                self.total += 1
                self.seconds = time.monotonic() - began
                done = self._done(phase, steps)
                self.report.step(terms, len(batch.rows))
                if self.step % self.config.log_every == 0 or done >= 1:
                    self.report.log(self.total, self.skipped, self._code_norms(batch.rows))
                if done >= 1:
                    break
                if self.total % self.checkpointing_steps == 0:
                    self.save()
            self.processes.check_same({"decoder": self.decoder, "encoder": self.encoder})
            self.report.samples(self.total, self._samples(phase, rows[:6]))
            self.phase, self.step, self.seconds = self.phase + 1, 0, 0.0
            written = self.save()
            if written and phase.kind != "decoder" and self.publish and self.processes.first:
                self.publish(self.folder(), self._round())

    def _done(self, phase: Phase, steps: int) -> float:
        """How much of a phase is behind, of its steps or of its time; the same on all processes."""
        done = self.step / steps
        if phase.minutes:
            done = self.processes.agreed(max(done, self.seconds / (60 * phase.minutes)))
        return done

    def _round(self) -> int:
        """How often the encoder has had its turn: rounds of EM."""
        return sum(phase.kind != "decoder" for phase in self.config.schedule[: self.phase])

    def _rows(self, phase: Phase) -> tuple[Tensor, int]:
        """This process's rows of a phase, and the steps of an epoch, which is the same everywhere."""
        rows = self.data.rows(phase.sharp)
        owner = rows // self.data.per_photo % self.processes.count
        fewest = int(torch.bincount(owner, minlength=self.processes.count).min())
        if fewest == 0:
            raise ConfigError("some processes have no photos in this phase: start fewer processes")
        return rows[owner == self.processes.rank], max(fewest // self.config.batch_size, 1)

    def _plan(self, phase: Phase, rows: Tensor, per_epoch: int, steps: int) -> Iterator[Step]:
        """What the steps that are left of a phase want to see."""
        size, partners = self.objective.image_size(phase), self.objective.partners(phase)
        for step in range(self.step, steps):
            epoch, position = divmod(step, per_epoch)
            generator = torch.Generator().manual_seed(self._seed(epoch, salt=1))
            order = torch.randperm(len(rows), generator=generator)
            chosen = rows[order[position * self.config.batch_size :][: self.config.batch_size]]
            yield Step(chosen, size, self._seed(step, salt=2), self.config.augmentation, partners)

    def _seed(self, number: int, salt: int = 0) -> int:
        run = self.config.seed * 1_000_003 + self.phase * 10_007 + salt
        return (run * 1_000_003 + number) * 4099 + self.processes.rank

    def _begin_phase(self, phase: Phase) -> None:
        """Phase D starts from the encoder's codes (z^0), once the encoder has been trained at all."""
        trained = any(earlier.kind != "decoder" for earlier in self.config.schedule[: self.phase])
        if phase.kind == "decoder" and trained and not phase.keep_codes:
            self._encode_book(phase)
        self.book.mark()

    @torch.no_grad()
    def _encode_book(self, phase: Phase) -> None:
        for rows in self.book.rows().split(64):
            batch = self.data.batch(rows, self.objective.image_size(phase))
            with self.accelerator.autocast():
                self.book.write(rows, self.objective.encode(batch))

    def _step(self, phase: Phase, batch: Batch, done: float) -> Terms:
        """One optimisation step on some rows of the code book; returns the loss terms."""
        config, rows = self.config, batch.rows
        torch.manual_seed(self._seed(self.step))
        rate = cosine_rate(phase.learning_rate, phase.final_learning_rate, done)
        moving = self._moving(phase)
        self._enable(phase, moving)
        gradients: list[Tensor] = []
        totals: dict[str, list[Tensor]] = {}
        checked: list[Tensor] = []  # for what is not finite; asked once, as a GPU works on until it is asked
        for part in batch.split(config.micro_batch):
            share = len(part.rows) / len(rows)
            with self.accelerator.autocast():
                terms, leaf = self._terms(phase, part)
            loss = sum(terms.values()) * share
            checked.append(loss.detach())
            loss.backward()
            if leaf is not None:
                gradients.append(leaf.grad)
                checked.append(leaf.grad.sum())
            for name, value in terms.items():
                totals.setdefault(name, []).append(value.detach())
        parameters = [p for name in moving for p in self.optimisers[name].param_groups[0]["params"]]
        self.processes.average(parameters)
        for name in moving:
            own = self.optimisers[name].param_groups[0]["params"]
            checked.append(nn.utils.clip_grad_norm_(own, config.clip))
        if self.processes.all(bool(torch.isfinite(torch.stack(checked)).all())):
            self._move(phase, moving, rate)
            if gradients:
                self.book.update(rows, torch.cat(gradients), config.codes_learning_rate)
        else:
            self.skipped += 1
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        return {name: torch.stack(values).mean() for name, values in totals.items()}

    def _terms(self, phase: Phase, part: Batch) -> tuple[Terms, Tensor | None]:
        """Loss terms of a part of a batch, and in phase D the leaf that collects the codes' gradient."""
        if phase.kind != "decoder":
            known = self.book.read(part.rows).to(self.device)
            known = warp_pose(known, part.similarity.to(self.device))
            return self.objective.phase_e(phase, self.step, part, known), None
        leaf = self.book.read(part.rows).vector().to(self.device).requires_grad_()
        codes = Codes.from_vector(leaf)
        start = self.book.start(part.rows).to(self.device)
        return self.objective.phase_d(phase, self.step, part, codes, start), leaf

    def _moving(self, phase: Phase) -> list[str]:
        if phase.only:
            return ["decoder"]
        heads = [name for name in ATTRIBUTES if name in self.objective.seen]
        return {"decoder": ["decoder"], "encoder": heads, "joint": ["decoder", *heads]}[phase.kind]

    def _enable(self, phase: Phase, moving: list[str]) -> None:
        self.encoder.requires_grad_(phase.kind != "decoder" and not phase.only)
        self.decoder.requires_grad_(False)
        if "decoder" in moving:
            for name, parameter in self.decoder.named_parameters():
                parameter.requires_grad_(name.startswith(phase.only))

    def _move(self, phase: Phase, moving: list[str], rate: float) -> None:
        for name in moving:
            optimiser = self.optimisers[name]
            sgd = isinstance(optimiser, torch.optim.SGD)
            optimiser.param_groups[0]["lr"] = rate * (SHAPE_SGD_RATIO if sgd else 1.0)
            optimiser.step()
        if self.config.ema > 0:
            for name in {"decoder" if name == "decoder" else "encoder" for name in moving}:
                self.averages[name].update()

    # -- what people look at ------------------------------------------------------------------------

    def _code_norms(self, rows: Tensor) -> dict[str, float]:
        """Root mean square of the codes in the book: cosine losses let lengths drift."""
        return {
            f"norm_{name}": float(code.square().mean().sqrt()) for name, code in self.book.read(rows).items()
        }

    @torch.no_grad()
    def _samples(self, phase: Phase, rows: Tensor) -> list[Tensor]:
        """Photos, renders of their codes in the book, and renders of the encoder's codes."""
        batch = self.data.batch(rows, self.objective.image_size(phase))
        with self.accelerator.autocast():
            book = self.objective.render(phase, self.book.read(rows).to(self.device)).image
            encoded = self.objective.render(phase, self.objective.encode(batch)).image
        return [image.float().cpu() for image in (batch.target, book, encoded)]
