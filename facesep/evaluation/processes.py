"""Several processes at one measurement, started by ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch

from facesep.errors import ConfigError


@dataclass(frozen=True)
class Processes:
    """This process among all.

    Attributes:
        rank: 0 for the one that reports.
        count: how many there are.
        device: where this one computes.
        wait: returns when all have come here.
    """

    rank: int
    count: int
    device: str
    wait: Callable[[], None]

    @property
    def main(self) -> bool:
        """Whether this is the process that reports."""
        return self.rank == 0


def processes(device: str = "cpu") -> Processes:
    """The processes of this run: one, unless ``torchrun`` (or ``accelerate launch`` on GPUs) started several.

    Args:
        device: ``cpu``, or ``cuda`` for one accelerator each.

    Raises:
        ConfigError: if accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return Processes(0, 1, device, lambda: None)
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise ConfigError(
            "several processes need the package accelerate: pip install 'facesep[eval]'"
        ) from error
    state = PartialState(cpu=torch.device(device).type == "cpu")
    return Processes(state.process_index, state.num_processes, str(state.device), state.wait_for_everyone)
