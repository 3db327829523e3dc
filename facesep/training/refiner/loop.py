"""The training loop of a refiner: the estimator by L1, the UNet by the noise it finds."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import Tensor, nn

from facesep.config import to_dict
from facesep.errors import CheckpointError
from facesep.training.checkpoint import (
    clean,
    latest_checkpoint,
    load_state,
    optimiser_tensors,
    restore_optimisers,
    save_tensors,
)
from facesep.training.optim import Average, cosine_rate
from facesep.training.processes import new_accelerator
from facesep.training.refiner.config import RefinerConfig
from facesep.training.refiner.pairs import Pairs

if TYPE_CHECKING:
    from facesep.refine import FaceRefiner

VALIDATION = 8
"""Pictures that are refined at every checkpoint."""


class Networks(nn.Module):
    """Estimator and UNet as one module, so that one call gives both losses."""

    def __init__(self, config: RefinerConfig) -> None:
        from diffusers import UNet2DModel

        from facesep.refine import SwinIREstimator

        super().__init__()
        one, two = config.estimator, config.unet
        self.estimator = SwinIREstimator(**vars(one)) if one.depths else None
        plain = len(two.channels) - two.attention
        self.unet = UNet2DModel(
            sample_size=config.size,
            block_out_channels=two.channels,
            layers_per_block=two.layers,
            down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * two.attention,
            up_block_types=("AttnUpBlock2D",) * two.attention + ("UpBlock2D",) * plain,
            attention_head_dim=two.head,
            norm_num_groups=two.groups,
        )

    def forward(
        self, soft: Tensor | None, sharp: Tensor, noisy: Tensor, noise: Tensor, t: Tensor
    ) -> dict[str, Tensor]:
        """``{"estimate": L1, "noise": mean square}``; all pictures ``Tensor[B, 3, S, S]``.

        Without an estimator nobody needs the soft pictures.
        """
        losses = {"noise": F.mse_loss(self.unet(noisy, t).sample.float(), noise)}
        if self.estimator is not None:
            losses["estimate"] = F.l1_loss(self.estimator(soft).float(), sharp)
        return losses


class RefinerTrainer:
    """Holds networks, optimiser and averages, and runs the steps.

    All that is random in a step follows from the seed, the step and the process, so a run that was stopped
    goes on to the same numbers (on the same kind of device).

    Args:
        config: the run.
        pairs: what to learn from.
        out: folder for checkpoints, the log and the refiner.
        val: what to measure on at every checkpoint; None leaves that out.
        accelerator: device, precision and processes.
    """

    def __init__(
        self,
        config: RefinerConfig,
        pairs: Pairs,
        out: str | Path,
        val: Pairs | None = None,
        accelerator: Accelerator | None = None,
    ) -> None:
        from diffusers import DDIMScheduler

        self.config, self.pairs, self.out, self.val = config, pairs, Path(out), val
        self.accelerator = accelerator or new_accelerator(config.bf16)
        self.device = self.accelerator.device
        self.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        self.scheduler = DDIMScheduler()
        self.networks = Networks(config).to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.networks.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.average = Average(self.networks, config.ema)
        self.parallel, self.optimiser = self.accelerator.prepare(self.networks, self.optimiser)
        self.step, self.skipped = 0, 0
        self.totals: dict[str, list[Tensor]] = defaultdict(list)

    # -- the loop -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Runs what is left of the steps."""
        config, clock = self.config, time.monotonic()
        while self.step < config.steps:
            self._step()
            self.step += 1
            if self.step % config.log_every == 0 or self.step == config.steps:
                means = {name: float(torch.stack(v).mean()) for name, v in self.totals.items()}
                steps = len(next(iter(self.totals.values())))
                self._log(means | {"per_second": steps * config.batch_size / (time.monotonic() - clock)})
                self.totals.clear()
                clock = time.monotonic()
            if self.step % config.save_every == 0 or self.step == config.steps:
                self.save()
                if self.val is not None:
                    self._log(self.validate())

    def _step(self) -> None:
        config = self.config
        number = (config.seed * 1_000_003 + self.step) * 4096 + self.accelerator.process_index
        generator = torch.Generator(self.device).manual_seed(number)
        soft = None
        if self.networks.estimator is None:
            sharp = self.pairs.photos(config.batch_size, generator)
        else:
            drawn = torch.Generator().manual_seed(number)
            pair = self.pairs.batch(config.batch_size, config.degradation, config.render_share, drawn)
            soft, sharp = (x.to(self.device) for x in pair)
        noise = torch.randn(sharp.shape, generator=generator, device=self.device)
        t = torch.randint(config.levels, (len(sharp),), generator=generator, device=self.device)
        noisy = self.scheduler.add_noise(2 * sharp - 1, noise, t)
        self.networks.train()
        rise = min((self.step + 1) / max(config.warmup, 1), 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = rise * cosine_rate(config.learning_rate, 0.0, self.step / config.steps)
        with self.accelerator.autocast():
            losses = self.parallel(soft, sharp, noisy, noise, t)
        self.optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(sum(losses.values()))
        norm = self.accelerator.clip_grad_norm_(self.networks.parameters(), config.clip)
        if torch.isfinite(norm):  # gradients are averaged over the processes: all decide alike
            self.optimiser.step()
            self.average.update()
        else:
            self.skipped += 1
        for name, loss in losses.items():
            self.totals[name].append(loss.detach())  # read later: the device need not wait

    # -- results ------------------------------------------------------------------------------------

    def refiner(self, about: dict[str, Any] | None = None) -> FaceRefiner:
        """The refiner with the averaged weights."""
        from facesep.refine import FaceRefiner

        with torch.random.fork_rng(devices=[]):
            networks = Networks(self.config).to(self.device)
        networks.load_state_dict(self.average.state())
        settings = {"steps": self.config.refine_steps, "start": self.config.start, "eta": self.config.eta}
        refiner = FaceRefiner(networks.unet, self.scheduler, networks.estimator, **settings, about=about)
        refiner.set_progress_bar_config(disable=True)
        return refiner

    def validate(self) -> dict[str, float]:
        """Mean absolute differences from the photos: before, after the estimator, after refinement."""
        soft, sharp = self.val.fixed(VALIDATION, self.config.degradation)
        refiner = self.refiner()
        found = {"val_soft": soft, "val_refined": refiner.refine(soft)}
        if refiner.estimator is not None:
            with torch.no_grad():
                found["val_estimate"] = refiner.estimator(soft.to(self.device)).clamp(0, 1).cpu()
        return {name: float((x - sharp).abs().mean()) for name, x in found.items()}

    def _log(self, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        line = {"step": self.step, "steps": self.config.steps, "skipped": self.skipped}
        line |= {name: round(value, 5) for name, value in values.items()}
        with open(self.out / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)  # noqa: T201

    # -- state --------------------------------------------------------------------------------------

    def save(self) -> None:
        """Writes ``checkpoints/<step>`` and deletes the oldest beyond ``keep``.

        A full disk is no reason to lose a run: a message says so, and older checkpoints are untouched.
        """
        if self.accelerator.is_main_process:
            groups = {
                "networks": self.networks.state_dict(),
                "average": self.average.values,
                "optimiser": optimiser_tensors({"adamw": self.optimiser}),
            }
            progress = {
                "step": self.step,
                "skipped": self.skipped,
                "average_steps": self.average.steps,
                "config": to_dict(self.config),
            }
            folder = self.out / "checkpoints"
            try:
                save_tensors(folder / f"{self.step:08d}", groups, progress)
                clean(folder, self.config.keep)
            except (OSError, SafetensorError) as error:
                print(f"warning: no checkpoint at step {self.step}, training goes on: {error}", flush=True)  # noqa: T201
        self.accelerator.wait_for_everyone()

    def resume(self, folder: str | Path | None = None) -> None:
        """Goes on from a checkpoint, by default from the newest.

        Raises:
            CheckpointError: if there is none, or it belongs to other networks.
        """
        folder = Path(folder) if folder else latest_checkpoint(self.out / "checkpoints")
        groups, progress, _ = load_state(folder)
        before, now = progress["config"], to_dict(self.config)
        for name in ("size", "estimator", "unet"):
            if before[name] != now[name]:
                raise CheckpointError(f"{folder} was made with another {name}: use the run's configuration")
        self.networks.load_state_dict(groups["networks"])
        self.average.values = {name: value.to(self.device) for name, value in groups["average"].items()}
        self.average.steps = progress["average_steps"]
        restore_optimisers({"adamw": self.optimiser}, groups["optimiser"])
        self.step, self.skipped = progress["step"], progress["skipped"]
