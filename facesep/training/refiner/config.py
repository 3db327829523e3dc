"""The configuration of a refiner's training; read from YAML, strict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facesep.config import from_dict
from facesep.errors import ConfigError
from facesep.training.config import load_values
from facesep.training.refiner.networks import EstimatorConfig, UNetConfig
from facesep.training.refiner.pairs import Degradation


@dataclass(frozen=True)
class RefinerConfig:
    """A whole run.

    Attributes:
        size: side of the pictures in pixels.
        estimator: proposes the clean picture.
        unet: the diffusion network.
        degradation: of the pairs without a render.
        render_share: share of pairs that are a render and its photo, where a checkpoint is given. Pairs are
            for the estimator: without one, photos alone are read.
        levels: the UNet is trained on noise up to this step of the chain of 1000; it never sees more than
            ``start`` when it refines.
        steps: batches.
        batch_size: pairs of a batch, on each device.
        learning_rate: AdamW's largest.
        warmup: steps over which it rises; then it falls along half a cosine.
        weight_decay: AdamW's.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights.
        bf16: bfloat16 matrix products.
        seed: of everything random.
        log_every: steps between lines of the log.
        save_every: steps between checkpoints.
        keep: how many checkpoints stay.
        refine_steps: UNet calls of the finished refiner, unless its user says otherwise.
        start: its noise level.
        eta: its share of fresh noise.
    """

    size: int = 128
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    degradation: Degradation = field(default_factory=Degradation)
    render_share: float = 0.7
    levels: int = 600
    steps: int = 100_000
    batch_size: int = 32
    learning_rate: float = 2e-4
    warmup: int = 500
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    bf16: bool = True
    seed: int = 0
    log_every: int = 100
    save_every: int = 5000
    keep: int = 2
    refine_steps: int = 8
    start: int = 250
    eta: float = 0.5

    def __post_init__(self) -> None:
        positive = ("size", "steps", "batch_size", "log_every", "save_every", "keep", "refine_steps", "start")
        for name in positive:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.start < self.levels <= 1000:
            raise ConfigError(f"levels must lie above start={self.start} and be at most 1000")
        if self.refine_steps > self.start:
            raise ConfigError("refine_steps cannot be more than start")
        if self.size % 2 ** (len(self.unet.channels) - 1) or self.size % 8:
            raise ConfigError("size must be a multiple of 8, and of 2 for each level of the UNet but one")


def load_refiner_config(path: str | Path, overrides: Sequence[str] = ()) -> RefinerConfig:
    """Reads a YAML file and applies ``key.sub=value`` overrides.

    Raises:
        ConfigError: for a missing file, bad YAML, unknown keys or values that do not fit.
    """
    return from_dict(RefinerConfig, load_values(path, overrides), str(path))
