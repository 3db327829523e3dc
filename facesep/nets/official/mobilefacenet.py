"""MobileFaceNet: a small face-recognition network (Chen et al., 2018, arXiv:1804.07573).

It serves as a frozen identity measure in losses and labels; its weights are never part of a checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from facesep.errors import CheckpointError
from facesep.nets.crops import similarity
from facesep.nets.official.recogniser import Recogniser
from facesep.precision import full_precision

CROP = (112, 96)
"""Height and width of its input."""
TEMPLATE = (
    (30.2946, 51.6963),
    (65.5318, 51.5014),
    (48.0252, 71.7366),
    (33.5493, 92.3655),
    (62.7299, 92.2041),
)
"""Eyes, nose tip and mouth corners in its input, pixels, image left first."""
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""(expansion, channels, repeats, first stride) of the bottleneck stages."""


class ConvBlock(nn.Module):
    """Convolution, batch norm and, unless ``linear``, PReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        if not linear:
            self.prelu = nn.PReLU(outputs)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, inputs, H, W]`` to ``Tensor[B, outputs, H', W']``."""
        x = self.bn(self.conv(x))
        return x if self.linear else self.prelu(x)


class Bottleneck(nn.Module):
    """Inverted residual: expand 1x1, depthwise 3x3, project 1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, inputs, H, W]`` to ``Tensor[B, outputs, H / stride, W / stride]``."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileFaceNet(Recogniser):
    """Aligned faces to 128 numbers; about 1.0 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, 64, 3, 2, 1)
        self.dw_conv1 = ConvBlock(64, 64, 3, 1, 1, groups=64)
        blocks, inputs = [], 64
        for expansion, outputs, repeats, stride in STAGES:
            for repeat in range(repeats):
                blocks.append(Bottleneck(inputs, outputs, stride if repeat == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvBlock(inputs, 512, 1)
        self.linear7 = ConvBlock(512, 512, (7, 6), groups=512, linear=True)
        self.linear1 = ConvBlock(512, 128, 1, linear=True)

    def forward(self, image: Tensor) -> Tensor:
        """Embeds aligned faces.

        Args:
            image: ``Tensor[B, 3, 112, 96]`` RGB in [0, 1], see ``align``.

        Returns:
            ``Tensor[B, 128]``, not normalised; compare with cosines.
        """
        x = (image * 255.0 - 127.5) / 128.0
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        return self.linear1(self.linear7(x)).flatten(1)

    def crop(self, image: Tensor, points: Tensor) -> Tensor:
        """What ``align`` cuts out."""
        return align(image, points)

    @staticmethod
    def load(path: str | Path) -> MobileFaceNet:
        """Reads weights strictly and freezes them.

        Raises:
            CheckpointError: if the file cannot be read or its keys and shapes do not match.
        """
        net = MobileFaceNet()
        try:
            net.load_state_dict(load_file(str(path)))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise CheckpointError(f"{path} holds no MobileFaceNet weights: {error}") from error
        return net.eval().requires_grad_(False)


@full_precision
def align(image: Tensor, points: Tensor) -> Tensor:
    """Warps faces to the network's input by a similarity; differentiable in both arguments.

    Args:
        image: ``Tensor[B, 3, H, W]``.
        points: ``Tensor[B, 5, 2]`` in its pixels (pixel i covers [i, i + 1)).

    Returns:
        ``Tensor[B, 3, 112, 96]``.
    """
    template = torch.tensor(TEMPLATE, dtype=points.dtype, device=points.device)
    back = similarity(template.expand_as(points), points)
    y, x = (torch.arange(n, dtype=points.dtype, device=points.device) + 0.5 for n in CROP)
    y, x = torch.meshgrid(y, x, indexing="ij")
    cells = torch.stack((x, y, torch.ones_like(x)), -1)
    at = torch.einsum("bij,hwj->bhwi", back, cells)
    extent = at.new_tensor([image.shape[-1], image.shape[-2]])
    return F.grid_sample(image, at / extent * 2 - 1, padding_mode="border", align_corners=False)
