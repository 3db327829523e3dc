"""The 2D renderer: a feature map becomes an image, level by level (HeadNeRF's neural renderer)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesep.config import DecoderConfig
from facesep.constants import constant
from facesep.nets.strips import render_strips


def blur(x: Tensor) -> Tensor:
    """Binomial 3x3 filter ``[1, 2, 1] x [1, 2, 1] / 16`` with reflected borders, per channel."""
    # Reflected by hand: under autocast F.pad would turn the whole branch into float32.
    x = torch.cat((x[..., 1:2, :], x, x[..., -2:-1, :]), -2)
    x = torch.cat((x[..., 1:2], x, x[..., -2:-1]), -1)
    kernel = constant((0.25, 0.5, 0.25), x)
    weight = torch.outer(kernel, kernel).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, weight, groups=x.shape[1])


def enlarge(x: Tensor) -> Tensor:
    """Bilinear x2 followed by ``blur``; for the running RGB image."""
    return blur(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))


class Level(nn.Module):
    """Doubles the size: 1x1 convolutions, a channel-tiled skip, pixel shuffle, blur, 1x1 convolution."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.layer_1 = nn.Conv2d(channels, 2 * channels, 1)
        self.layer_2 = nn.Conv2d(2 * channels, 4 * channels, 1)
        self.out = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``Tensor[B, C, n, n]`` -> ``Tensor[B, C', 2 n, 2 n]``."""
        hidden = F.leaky_relu(self.layer_1(x), 0.2)
        hidden = F.leaky_relu(self.layer_2(hidden), 0.2) + x.repeat(1, 4, 1, 1)
        # The blur is normalised and acts per channel, so it commutes with the 1x1 convolution: blur the
        # fewer channels.
        return F.leaky_relu(blur(self.out(F.pixel_shuffle(hidden, 2))), 0.2)


class Upsampler(nn.Module):
    """Feature map ``[B, features, n, n]`` to RGB ``[B, 3, n * 2^levels, ...]`` in 0..1.

    Every level adds its own RGB image to the enlarged one of the level before; the sum goes through a
    sigmoid. Stopping at an earlier level therefore gives a smaller image.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        widths = [config.features] + [
            max(config.features // 2**index, config.min_channels) for index in range(1, config.levels + 1)
        ]
        self.levels = nn.ModuleList(Level(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.to_rgb = nn.ModuleList(nn.Conv2d(width, 3, 1) for width in widths)

    def forward(self, features: Tensor, levels: int | None = None) -> Tensor:
        """Renders the image; without gradients on a CPU, in strips (``facesep.nets.strips``).

        Args:
            features: ``Tensor[B, features, n, n]``.
            levels: levels to run, all by default.
        """
        strips = features.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        plain = torch.is_grad_enabled() or not strips or torch.compiler.is_exporting()
        rgb = self.layers(features, levels) if plain else render_strips(self, features, levels)
        return torch.sigmoid(rgb.float())

    def layers(self, features: Tensor, levels: int | None = None) -> Tensor:
        """The image before the sigmoid, layer by layer on whole feature maps: ``Tensor[B, 3, S, S]``."""
        rgb = self.to_rgb[0](features)
        for level, to_rgb in zip(self.levels[:levels], self.to_rgb[1:], strict=False):
            features = level(features)
            rgb = enlarge(rgb) + to_rgb(features)
        return rgb
