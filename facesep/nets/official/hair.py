"""The hair shape encoder: a mask of the hair to 16 numbers, after CtrlHair's mask encoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FREQUENCIES = 10


def position_code(size: int) -> Tensor:
    """Sines and cosines of the pixel coordinates.

    Coordinates run from 0 to 1 (exclusive). The channels are ``sin(2^i pi x), sin(2^i pi y)`` for
    i = 0..9 and then the same with cosines. Computed in double precision: at 2^9 pi a float32 angle is
    already off by 1e-4.

    Args:
        size: side of the image in pixels.

    Returns:
        ``Tensor[40, size, size]``, float32.
    """
    line = torch.arange(size, dtype=torch.float64) / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    angles = torch.stack([math.pi * 2.0**i * axis for i in range(FREQUENCIES) for axis in (x, y)])
    return torch.cat([angles.sin(), angles.cos()]).float()


def mask_from_probability(probability: Tensor, size: int = 256) -> Tensor:
    """A soft hair mask from the parser's hair probability, averaged over each pixel's area.

    Args:
        probability: ``Tensor[B, 1, H, W]`` in [0, 1].
        size: side of the mask in pixels.

    Returns:
        ``Tensor[B, 1, size, size]`` in [0, 1]; differentiable.
    """
    return F.interpolate(probability, size=(size, size), mode="area")


class SampleNorm(nn.Module):
    """Normalises each sample over all of its values, then scales each channel.

    Not ``torch.nn.GroupNorm`` with one group: the deviation is the unbiased one, and ``eps`` is
    added to it outside the root.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.rand(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, C, H, W]`` to the same shape."""
        flat = x.flatten(1)
        mean = flat.mean(1)[:, None, None, None]
        deviation = flat.std(1)[:, None, None, None]
        return (x - mean) / (deviation + self.eps) * self.gamma[:, None, None] + self.beta[:, None, None]


class DownLayer(nn.Module):
    """4x4 convolution with stride 2, norm, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 4, 2, 1)
        self.norm = SampleNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, inputs, H, W]`` to ``Tensor[B, outputs, H / 2, W / 2]``."""
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class _Head(nn.Module):
    """A linear layer under the key ``fc``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)


class HairEncoder(nn.Module):
    """Seven strided convolutions over the mask and the position code, and a Gaussian's two heads.

    Args:
        width: channels of the first layer (32 in the paper), doubled by every further one.
        size: side of the mask in pixels (256 in the paper).
    """

    def __init__(self, width: int = 32, size: int = 256) -> None:
        super().__init__()
        self.size = size
        channels = [1 + 4 * FREQUENCIES] + [width << i for i in range(7)]
        self.layers = nn.ModuleList(DownLayer(a, b) for a, b in zip(channels, channels[1:], strict=False))
        last = channels[-1] * (size // 128) ** 2
        self.out_layer = _Head(last, 16)
        self.std_out_layer = _Head(last, 16)
        self.register_buffer("position", position_code(size), persistent=False)

    def features(self, mask: Tensor) -> Tensor:
        """The flat feature below the two heads, ``Tensor[B, 8192]`` at the paper's size."""
        position = self.position.to(mask.dtype).expand(mask.shape[0], -1, -1, -1)
        x = torch.cat([mask, position], 1)
        for layer in self.layers:
            x = layer(x)
        return x.flatten(1)

    def forward(self, mask: Tensor) -> Tensor:
        """Encodes the hairstyle.

        Args:
            mask: ``Tensor[B, 1, size, size]``, 1 (or a probability) where there is hair; all zero for
                a bald head.

        Returns:
            ``Tensor[B, 16]``, the mean of the code.
        """
        return self.out_layer.fc(self.features(mask))
