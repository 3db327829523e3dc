"""The encoder E: one canonical image -> seven codes, by seven separate heads."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesep.attributes import ATTRIBUTES, TRAITS
from facesep.camera import CENTRE_X, CENTRE_Y
from facesep.codes import Codes
from facesep.config import EncoderConfig
from facesep.nets.streams import side_by_side

FACE_WINDOW = 0.7882
"""Side of the R-Net crop as a multiple of the canonical image; centred on the principal point."""
STEMS = {2: (3, 1), 4: (8, 3)}
"""Kernel and padding of a first convolution that divides the size by so much."""


def face_window(image: Tensor) -> Tensor:
    """The face window of a canonical image, rounded to whole pixels: ``Tensor[B, 3, s, s]``."""
    size = image.shape[-1]
    side = round(FACE_WINDOW * size)
    left = round(CENTRE_X * size - side / 2)
    top = min(round(CENTRE_Y * size - side / 2), size - side)
    return image[..., top : top + side, left : left + side]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with group norm around an identity path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm_1 = nn.GroupNorm(min(8, channels), channels)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm_2 = nn.GroupNorm(min(8, channels), channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape."""
        hidden = F.relu(self.norm_1(self.conv_1(x)))
        return F.relu(x + self.norm_2(self.conv_2(hidden)))


class LightHead(nn.Module):
    """A small convolutional network that predicts one code from the image alone."""

    def __init__(self, config: EncoderConfig, attribute: str) -> None:
        super().__init__()
        self.traits = TRAITS[attribute]
        self.input_size = config.input_size
        stages: list[nn.Module] = []
        channels = 3
        for index, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            stride = 2 if index else config.stem
            kernel, padding = STEMS[stride]
            stages += [
                nn.Conv2d(channels, width, kernel, stride, padding, bias=False),
                nn.GroupNorm(min(8, width), width),
                nn.ReLU(),
                *(ResidualBlock(width) for _ in range(blocks)),
            ]
            channels = width
        self.stages = nn.Sequential(*stages)
        cells = (config.input_size // config.reduction) ** 2
        self.out = nn.Linear(channels * cells, self.traits.size)

    def forward(self, image: Tensor, points: Tensor | None = None) -> Tensor:
        """Predicts the code.

        Args:
            image: canonical RGB ``Tensor[B, 3, S, S]`` in 0..1.
            points: not looked at; the paper's shape head aligns by them.

        Returns:
            ``Tensor[B, n]`` in float32; the shape code has length sqrt(512).
        """
        window = image if self.traits.window == "image" else face_window(image)
        if window.shape[-1] != self.input_size:
            window = F.interpolate(
                window, size=(self.input_size,) * 2, mode="bilinear", align_corners=False, antialias=True
            )
        hidden = self.stages(((window - 0.5) * 2.0).to(self.out.weight.dtype))
        code = self.out(hidden.flatten(1)).float()
        if self.traits.blending == "sphere":
            return F.normalize(code, dim=-1) * math.sqrt(self.traits.size)
        return code * self.traits.scale


class LightEncoder(nn.Module):
    """Seven ``LightHead`` networks; no part is shared, so each attribute trains on its own.

    One photo does not tell dark skin from dim light, so the head of the light sees skin, too. With
    ``config.skin`` the illumination code is ``h - A t``: what the head says without what follows from the
    texture code t (``facesep.training.skin``).
    """

    skin: Tensor | None
    """A, ``Tensor[27, 80]``; None without."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: LightHead(config, name) for name in ATTRIBUTES})
        size = TRAITS["illumination"].size, TRAITS["texture"].size
        self.register_buffer("skin", torch.zeros(size) if config.skin else None)

    def forward(self, image: Tensor, points: Tensor | None = None) -> Codes:
        """Canonical images ``Tensor[B, 3, S, S]`` in 0..1 -> batched codes; ``points`` are not looked at."""
        tasks = [partial(head, image) for head in self.heads.values()]
        found = dict(zip(self.heads, side_by_side(tasks, image.device), strict=True))
        if self.skin is not None:
            found["illumination"] = found["illumination"] - F.linear(found["texture"], self.skin.float())
        return Codes(**found)


def build_encoder(config: EncoderConfig) -> nn.Module:
    """The encoder of a configuration; it has ``heads`` by attribute and maps images to ``Codes``."""
    if config.kind == "light":
        return LightEncoder(config)
    from facesep.nets.paper_encoder import PaperEncoder

    return PaperEncoder(config)
