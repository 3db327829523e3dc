"""What the processes of a distributed run exchange: gradients, a veto, and a comparison of weights.

Every process renders its own photos and sums its own gradients; then all take the same step. Gradients
are averaged by hand instead of by a wrapper around the networks, because phases train different parts,
heads take part in several forward passes of a step, and some parts get no gradient in some steps.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn

from facesep.errors import FaceSepError
from facesep.precision import multiplies_bfloat16

logger = logging.getLogger(__name__)

BUCKET = 2**25
"""Numbers that are averaged at a time: 128 MB."""


def new_accelerator(bf16: bool, cpu: bool = False) -> Accelerator:
    """Device, precision and processes of a run.

    Without a GPU accelerate has to be told so: it would otherwise let each process of ``torchrun`` train a
    model of its own.

    Args:
        bf16: whether matrix products are computed in bfloat16. A processor without instructions for it
            computes them in float32: emulated they are some twenty times slower than that.
        cpu: whether to stay on the CPU even where there is a GPU.
    """
    cpu = cpu or not torch.accelerator.is_available()
    if bf16 and cpu and not multiplies_bfloat16():
        logger.warning("this processor has no instructions for bfloat16: computing in float32")
        bf16 = False
    return Accelerator(cpu=cpu, mixed_precision="bf16" if bf16 else "no")


class Processes:
    """The processes of a run.

    Attributes:
        rank: number of this one.
        count: how many there are.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.rank, self.count = accelerator.process_index, accelerator.num_processes

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Averages gradients over the processes; a missing gradient counts as zero.

        Args:
            parameters: the same on every process, in the same order.
        """
        if self.count == 1:
            return
        bucket: list[nn.Parameter] = []
        size = 0
        for parameter in parameters:
            bucket.append(parameter)
            size += parameter.numel()
            if size >= BUCKET:
                self._average(bucket)
                bucket, size = [], 0
        if bucket:
            self._average(bucket)

    def _average(self, parameters: list[nn.Parameter]) -> None:
        flat = torch.cat(
            [
                (torch.zeros_like(p) if p.grad is None else p.grad).detach().float().flatten()
                for p in parameters
            ]
        )
        flat = self.accelerator.reduce(flat, reduction="mean")
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter).to(parameter.dtype)

    def all(self, good: bool) -> bool:
        """Whether something holds on every process."""
        if self.count == 1:
            return good
        bad = torch.tensor([0.0 if good else 1.0], device=self.accelerator.device)
        return float(self.accelerator.reduce(bad, reduction="sum")) == 0

    def agreed(self, value: float) -> float:
        """The first process's value, on all processes alike."""
        return value if self.count == 1 else broadcast_object_list([value])[0]

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Means over the processes of numbers that not every process has."""
        if self.count == 1:
            return dict(values)
        gathered = gather_object([dict(values)])
        names = dict.fromkeys(name for one in gathered for name in one)
        found = {name: [one[name] for one in gathered if name in one] for name in names}
        return {name: sum(numbers) / len(numbers) for name, numbers in found.items()}

    def check_same(self, modules: Mapping[str, nn.Module]) -> None:
        """Makes sure that all processes hold the same weights, bit for bit.

        Raises:
            FaceSepError: if they do not; training on would give nonsense.
        """
        if self.count == 1:
            return
        sums = {name: digest(module.state_dict()) for name, module in modules.items()}
        others = gather_object([sums])
        different = [name for name in sums if len({one[name] for one in others}) > 1]
        if different:
            raise FaceSepError(
                f"the processes do not hold the same {' and '.join(different)} any more: resume from the "
                "last checkpoint; if it happens again, the machines compute differently"
            )

    def wait(self) -> None:
        """Waits for the others."""
        self.accelerator.wait_for_everyone()


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of the tensors' bytes."""
    digest = hashlib.sha256()
    for value in state.values():
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
