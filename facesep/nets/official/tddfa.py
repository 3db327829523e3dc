"""The pose regressor of 3DDFA_V2 (Guo et al., ECCV 2020): MobileNetV1 of half width, 62 numbers.

An independent measure of head poses in renders; its weights (MIT) are never part of a checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from facesep.errors import CheckpointError

CROP = 120
"""Side of its input in pixels."""
PARAMETERS = 62
"""12 of a weak-perspective camera, 40 of the shape, 10 of the expression."""
STAGES = (
    ("dw2_1", 16, 32, 1),
    ("dw2_2", 32, 64, 2),
    ("dw3_1", 64, 64, 1),
    ("dw3_2", 64, 128, 2),
    ("dw4_1", 128, 128, 1),
    ("dw4_2", 128, 256, 2),
    *((f"dw5_{number}", 256, 256, 1) for number in range(1, 6)),
    ("dw5_6", 256, 512, 2),
    ("dw6", 512, 512, 1),
)
"""(name, inputs, outputs, stride) of the depthwise separable convolutions."""


class Separable(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolution, each with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn_dw = nn.BatchNorm2d(inputs)
        self.conv_sep = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, inputs, H, W]`` to ``Tensor[B, outputs, H / stride, W / stride]``."""
        x = F.relu(self.bn_dw(self.conv_dw(x)))
        return F.relu(self.bn_sep(self.conv_sep(x)))


class Tddfa(nn.Module):
    """Face crops to head rotations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for name, inputs, outputs, stride in STAGES:
            self.add_module(name, Separable(inputs, outputs, stride))
        self.fc = nn.Linear(512, PARAMETERS)
        self.register_buffer("param_mean", torch.zeros(PARAMETERS))
        self.register_buffer("param_std", torch.ones(PARAMETERS))

    @staticmethod
    def from_file(path: str | Path) -> Tddfa:
        """Reads a ``.safetensors`` file of ``mb05_120x120`` with ``param_mean`` and ``param_std``.

        Raises:
            CheckpointError: if it cannot be read or is another network.
        """
        net = Tddfa()
        try:
            net.load_state_dict(load_file(str(path)))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise CheckpointError(f"{path} is not the 3DDFA_V2 network mb05_120x120: {error}") from error
        return net.eval().requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        """All 62 numbers.

        Args:
            crops: ``Tensor[B, 3, 120, 120]`` RGB in 0..1.

        Returns:
            ``Tensor[B, 62]``, scaling undone.
        """
        x = F.relu(self.bn1(self.conv1((crops.flip(1) * 255 - 127.5) / 128)))
        for name, *_ in STAGES:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3))) * self.param_std + self.param_mean


def rotation(parameters: Tensor) -> Tensor:
    """The head rotation in the camera matrix.

    Args:
        parameters: ``Tensor[B, 62]``; the first 12 are the rows of a 3 x 4 weak-perspective camera, whose
            first two rows are those of the rotation times one scale.

    Returns:
        ``Tensor[B, 3, 3]`` rotations in axes x right, y up, z to the viewer.
    """
    rows = parameters[:, :12].unflatten(1, (3, 4))[:, :2, :3]
    first = F.normalize(rows[:, 0], dim=-1)
    # The nearest right angle: the network does not promise one.
    second = F.normalize(rows[:, 1] - (rows[:, 1] * first).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second)), 1)
