"""The bundled face parser: which part of a head each pixel of a canonical image shows."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from facesep.nets.blocks import conv, stage

CLASSES = ("background", "skin", "hair", "body", "brows", "eyes", "lips", "mouth")
"""What the channels mean. Skin has the ears, the nose and glasses; body is neck and clothes; eyes lie between
the lids; mouth is what open lips show."""
BODY = CLASSES.index("body")
HAIR = CLASSES.index("hair")


class FaceParser(nn.Module):
    """A U-shaped network of plain convolutions: 0.95 million weights, 0.3 billion multiplications at 256 px.

    The coarse part sees the image at half its size, goes down to a 64th of it and back to a quarter. The mean
    over its coarsest map tells every cell what the whole image shows. The fine part corrects the classes at
    half the image's size; the last step up is bilinear.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16, stride=2)
        self.stage4 = stage(16, 32, 1)
        self.stage8 = stage(32, 64, 2)
        self.stage16 = stage(64, 72, 2)
        self.stage32 = stage(72, 96, 2)
        self.context = nn.Conv2d(96, 96, 1)
        self.lateral32 = nn.Conv2d(96, 64, 1)
        self.lateral16 = nn.Conv2d(72, 64, 1)
        self.lateral8 = nn.Conv2d(64, 64, 1)
        self.lateral4 = nn.Conv2d(32, 48, 1)
        self.lateral2 = nn.Conv2d(16, 24, 1)
        self.smooth16 = conv(64, 64)
        self.smooth8 = nn.Sequential(conv(64, 64), nn.Conv2d(64, 48, 1))
        self.smooth4 = nn.Sequential(conv(48, 48), nn.Conv2d(48, 24, 1))
        self.smooth2 = conv(24, 24)
        self.classes = nn.Conv2d(24, len(CLASSES), 1)
        self.fine = conv(3, 24, stride=2)
        self.smooth1 = conv(24, 24)
        self.correction = nn.Conv2d(24, len(CLASSES), 1)
        nn.init.zeros_(
            self.correction.weight
        )  # training of the fine part starts at what the coarse part says
        nn.init.zeros_(self.correction.bias)

    def coarse(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse part alone.

        Args:
            images: ``Tensor[B, 3, H, W]``, RGB in [0, 1], canonical images of half the network's size.

        Returns:
            ``(features, logits)``: ``Tensor[B, 24, H/2, W/2]`` and ``Tensor[B, 8, H/2, W/2]``.
        """
        f2 = self.stem(images * 2 - 1)
        f4 = self.stage4(f2)
        f8 = self.stage8(f4)
        f16 = self.stage16(f8)
        f32 = self.stage32(f16)
        f32 = F.relu(f32 + self.context(f32.mean((-2, -1), keepdim=True)))
        x = self.smooth16(self.lateral16(f16) + _twice(self.lateral32(f32)))
        x = self.smooth8(self.lateral8(f8) + _twice(x))
        x = self.smooth4(self.lateral4(f4) + _twice(x))
        x = self.smooth2(self.lateral2(f2) + _twice(x))
        return x, self.classes(x)

    def half_logits(self, images: Tensor) -> Tensor:
        """Logits at half the size of the images: ``Tensor[B, 8, H/2, W/2]``, see ``forward``."""
        x, logits = self.coarse(F.avg_pool2d(images, 2))
        return _twice(logits) + self.correction(self.smooth1(self.fine(images * 2 - 1) + _twice(x)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the classes for each pixel.

        Args:
            images: ``Tensor[B, 3, H, W]``, RGB in [0, 1]: canonical images, white outside the photo; sides
                multiples of 64. The network was trained at 256 px.

        Returns:
            ``Tensor[B, 8, H, W]`` in the order of ``CLASSES``.
        """
        return _twice(self.half_logits(images))

    def probabilities(self, images: Tensor) -> Tensor:
        """The softmax of ``forward``: ``Tensor[B, 8, H, W]``, adding up to 1."""
        return self(images).softmax(1)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def head_probability(probabilities: Tensor) -> Tensor:
    """The head's share of each pixel, ``Tensor[B, 1, H, W]``: everything but background and body.

    Args:
        probabilities: ``Tensor[B, 8, H, W]`` from ``FaceParser.probabilities``.
    """
    return (1 - probabilities[:, :1] - probabilities[:, BODY : BODY + 1]).clamp(0, 1)
