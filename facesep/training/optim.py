"""Optimisers and their state as tensors, learning rates, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from facesep.codes import ATTRIBUTES
from facesep.errors import CheckpointError
from facesep.training.config import TrainConfig

SHAPE_SGD_RATIO = 0.1 / 5e-4
"""The paper trains the shape head by SGD at 0.1 where the others use Adam at 5e-4."""


def build_optimisers(
    config: TrainConfig, decoder: nn.Module, encoder: nn.Module
) -> dict[str, torch.optim.Optimizer]:
    """Eight optimisers by name: the decoder's, and one for each head."""
    optimisers: dict[str, torch.optim.Optimizer] = {"decoder": torch.optim.Adam(decoder.parameters())}
    for name in ATTRIBUTES:
        parameters = encoder.heads[name].parameters()
        if name == "shape" and config.shape_optimiser == "sgd":
            optimisers[name] = torch.optim.SGD(parameters, momentum=0.9)
        else:
            optimisers[name] = torch.optim.Adam(parameters)
    return optimisers


def cosine_rate(start: float, end: float, done: float) -> float:
    """The learning rate after a fraction ``done`` of a phase, along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


class Average:
    """Exponential moving average (EMA) of a module's weights, with a warm-up of the decay.

    Step n keeps ``min(decay, (n + a) / (n + b))`` of what the average was.

    Args:
        module: what is averaged.
        decay: largest decay; 0 leaves averaging out.
        warmup: a and b.
    """

    def __init__(self, module: nn.Module, decay: float, warmup: tuple[float, float] = (1, 10)) -> None:
        self.module, self.decay, self.warmup = module, decay, warmup
        self.restart()

    def restart(self) -> None:
        """Forgets the past: the average is the module as it is now."""
        self.steps = 0
        self.values = {name: p.detach().clone() for name, p in self.module.state_dict().items()}

    def restore(self, values: Mapping[str, Tensor], steps: int) -> None:
        """Goes on from saved values."""
        self.steps = steps
        self.values = {name: value.to(self.values[name].device) for name, value in values.items()}

    def update(self) -> None:
        """Takes the module's present weights into the average."""
        if self.decay <= 0:
            return
        self.steps += 1
        lead, lag = self.warmup
        decay = min(self.decay, (self.steps + lead) / (self.steps + lag))
        state = self.module.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        # All at once: hundreds of small calls take a GPU as long as a render.
        torch._foreach_lerp_(
            [self.values[name] for name in moving], [state[name] for name in moving], 1 - decay
        )
        for name in state.keys() - set(moving):  # counters of batch norms
            self.values[name].copy_(state[name])

    def state(self) -> dict[str, Tensor]:
        """The averaged weights; the module's own if averaging is off."""
        return self.values if self.decay > 0 else self.module.state_dict()


def optimiser_tensors(optimisers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All state tensors of named optimisers as ``{"name/index/key": tensor}``."""
    return {
        f"{name}/{index}/{key}": torch.as_tensor(value)
        for name, optimiser in optimisers.items()
        for index, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
        if value is not None
    }


def restore_optimisers(
    optimisers: Mapping[str, torch.optim.Optimizer], tensors: Mapping[str, Tensor]
) -> None:
    """Puts back what ``optimiser_tensors`` took.

    Raises:
        CheckpointError: if there is an optimiser among it that this run does not have.
    """
    states: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in optimisers}
    for path, tensor in tensors.items():
        name, index, key = path.rsplit("/", 2)
        if name not in states:
            raise CheckpointError(f"the training state has an optimiser {name!r} that this run does not know")
        states[name].setdefault(int(index), {})[key] = tensor
    for name, optimiser in optimisers.items():
        optimiser.load_state_dict({**optimiser.state_dict(), "state": states[name]})
