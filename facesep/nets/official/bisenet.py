"""BiSeNet, the face parser: 19 classes for every pixel, in the key layout of face-parsing.PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesep.constants import constant
from facesep.nets.official.resnet import BasicBlock, ResNet

CLASSES: tuple[str, ...] = (
    "background", "skin", "left brow", "right brow", "left eye", "right eye", "glasses", "left ear",
    "right ear", "earring", "nose", "mouth", "upper lip", "lower lip", "neck", "necklace", "cloth",
    "hair", "hat",
)  # fmt: skip
"""The meaning of each class. Left and right were never told apart reliably in training."""

HAIR = CLASSES.index("hair")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SIZE = 512


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, inputs, H, W]`` to ``Tensor[B, outputs, H, W]``."""
        return F.relu(self.bn(self.conv(x)))


class AttentionRefinement(nn.Module):
    """Scales each channel by a gate computed from its average."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(inputs, outputs, 3)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, inputs, H, W]`` to ``Tensor[B, outputs, H, W]``."""
        x = self.conv(x)
        return x * self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))).sigmoid()


class ContextPath(nn.Module):
    """ResNet-18 whose deep features are refined on their way back up to 1/8 of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet(BasicBlock, (2, 2, 2, 2))
        self.arm16 = AttentionRefinement(256, 128)
        self.arm32 = AttentionRefinement(512, 128)
        self.conv_head32 = ConvNormReLU(128, 128, 3)
        self.conv_head16 = ConvNormReLU(128, 128, 3)
        self.conv_avg = ConvNormReLU(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The trunk's 1/8 feature, and the refined features at 1/8 and 1/16."""
        eighth, sixteenth, last = self.resnet(x)
        context = self.conv_avg(last.mean((2, 3), keepdim=True))
        refined16 = F.interpolate(self.arm32(last) + context, size=sixteenth.shape[2:])
        refined16 = self.conv_head32(refined16)
        refined8 = F.interpolate(self.arm16(sixteenth) + refined16, size=eighth.shape[2:])
        return eighth, self.conv_head16(refined8), refined16


class FeatureFusion(nn.Module):
    """Joins detail and context features and re-weighs the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convblk = ConvNormReLU(channels, channels, 1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """Fuses two feature maps of the same size."""
        x = self.convblk(torch.cat([detail, context], 1))
        gate = self.conv2(F.relu(self.conv1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x + x * gate


class Output(nn.Module):
    """Logits of the classes."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(inputs, width, 3)
        self.conv_out = nn.Conv2d(width, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, inputs, H, W]`` to ``Tensor[B, classes, H, W]``."""
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """The parser.

    Args:
        classes: number of classes (19 in the published weights).
    """

    def __init__(self, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion(256)
        self.conv_out = Output(256, 256, classes)
        self.conv_out16 = Output(128, 64, classes)
        self.conv_out32 = Output(128, 64, classes)

    def all_logits(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The main logits and those of the two training heads, each at the size of ``image``."""
        detail, context, coarse = self.cp(image)
        outputs = (
            self.conv_out(self.ffm(detail, context)),
            self.conv_out16(context),
            self.conv_out32(coarse),
        )
        size = image.shape[2:]
        return tuple(F.interpolate(o, size=size, mode="bilinear", align_corners=True) for o in outputs)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the classes.

        Args:
            image: ``Tensor[B, 3, H, W]``, RGB normalised by ImageNet's mean and deviation; 512 px in
                training.

        Returns:
            ``Tensor[B, 19, H, W]``.
        """
        detail, context, _ = self.cp(image)
        logits = self.conv_out(self.ffm(detail, context))
        return F.interpolate(logits, size=image.shape[2:], mode="bilinear", align_corners=True)

    def probabilities(self, image: Tensor) -> Tensor:
        """Class probabilities of a face image at the parser's own size.

        Args:
            image: ``Tensor[B, 3, S, S]``, RGB in [0, 1].

        Returns:
            ``Tensor[B, 19, 512, 512]``; differentiable.
        """
        shrink = image.shape[-1] > SIZE
        image = F.interpolate(image, size=(SIZE, SIZE), mode="bilinear", antialias=shrink)
        mean = constant(IMAGENET_MEAN, image)[:, None, None]
        std = constant(IMAGENET_STD, image)[:, None, None]
        normalised = ((image - mean) / std).to(self.conv_out.conv_out.weight.dtype)
        return self(normalised).softmax(1)
