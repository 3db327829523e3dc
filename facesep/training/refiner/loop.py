"""The training of a refiner: the estimator by L1, the UNet by the noise it finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor

from facesep.config import to_dict
from facesep.training.loop import Loop
from facesep.training.optim import cosine_rate
from facesep.training.processes import new_accelerator
from facesep.training.refiner.config import RefinerConfig
from facesep.training.refiner.networks import Networks
from facesep.training.refiner.pairs import Pairs

if TYPE_CHECKING:
    from facesep.refine import FaceRefiner

VALIDATION = 8
"""Pictures that are refined at every checkpoint."""


class RefinerTrainer(Loop):
    """Trains estimator and UNet.

    All that is random in a step follows from the seed, the step and the process.

    Args:
        config: the run.
        pairs: what to learn from.
        out: folder for checkpoints, the log and the refiner.
        val: what to measure on at every checkpoint; None leaves that out.
        accelerator: device, precision and processes.
        bar: whether to draw a progress bar.
    """

    def __init__(
        self,
        config: RefinerConfig,
        pairs: Pairs,
        out: str | Path,
        val: Pairs | None = None,
        accelerator: Accelerator | None = None,
        bar: bool = False,
    ) -> None:
        from diffusers import DDIMScheduler

        accelerator = accelerator or new_accelerator(config.bf16)
        torch.manual_seed(config.seed)
        self.config, self.pairs, self.val, self.scheduler = config, pairs, val, DDIMScheduler()
        networks = Networks(config.size, config.estimator, config.unet).to(accelerator.device)
        super().__init__(
            networks,
            torch.optim.AdamW(
                networks.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
            ),
            out,
            steps=config.steps,
            batch_size=config.batch_size,
            clip=config.clip,
            average=config.ema,
            log_every=config.log_every,
            save_every=config.save_every,
            keep=config.keep,
            config=to_dict(config),
            fixed=("size", "estimator", "unet"),
            accelerator=accelerator,
            bar=bar,
        )

    def rate(self, step: int) -> float:
        """Rises over ``warmup`` steps, then falls along half a cosine."""
        rise = min((step + 1) / max(self.config.warmup, 1), 1.0)
        return rise * cosine_rate(self.config.learning_rate, 0.0, step / self.config.steps)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Those of ``Networks`` for a batch of its own."""
        config = self.config
        number = (config.seed * 1_000_003 + step) * 4096 + self.processes.rank
        generator = torch.Generator(self.device).manual_seed(number)
        soft = None
        if self.network.estimator is None:
            sharp = self.pairs.photos(config.batch_size, generator)
        else:
            drawn = torch.Generator().manual_seed(number)
            pair = self.pairs.batch(config.batch_size, config.degradation, config.render_share, drawn)
            soft, sharp = (x.to(self.device) for x in pair)
        noise = torch.randn(sharp.shape, generator=generator, device=self.device)
        t = torch.randint(config.levels, (len(sharp),), generator=generator, device=self.device)
        noisy = self.scheduler.add_noise(2 * sharp - 1, noise, t)
        with self.accelerator.autocast():
            return self.network(soft, sharp, noisy, noise, t)

    def saved(self) -> dict[str, float]:
        """Measures on the photos that are kept for it."""
        return self.validate() if self.val is not None else {}

    def refiner(self, about: dict[str, Any] | None = None) -> FaceRefiner:
        """The refiner with the averaged weights."""
        from facesep.refine import FaceRefiner

        with torch.random.fork_rng(devices=[]):
            networks = Networks(self.config.size, self.config.estimator, self.config.unet).to(self.device)
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
