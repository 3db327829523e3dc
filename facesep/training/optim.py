"""Eight optimisers: the decoder's and one for each head; learning rates; averaged weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from facesep.codes import ATTRIBUTES
from facesep.training.config import TrainConfig

SHAPE_SGD_RATIO = 0.1 / 5e-4
"""The paper trains the shape head by SGD at 0.1 where the others use Adam at 5e-4."""


def build_optimisers(
    config: TrainConfig, decoder: nn.Module, encoder: nn.Module
) -> dict[str, torch.optim.Optimizer]:
    """One optimiser for the decoder and one per head, by name."""
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
    """Exponential moving average of a module's parameters, with a warm-up of the decay."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.restart()

    def restart(self) -> None:
        """Forgets the past: the average is the module as it is now."""
        self.steps = 0
        self.values = {name: p.detach().clone() for name, p in self.module.state_dict().items()}

    def update(self) -> None:
        """Takes the module's present weights into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
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
