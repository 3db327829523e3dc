"""VGG19 features for the perceptual loss, in torchvision's key layout."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesep.nets.files import read_network
from facesep.nets.official.bisenet import IMAGENET_MEAN, IMAGENET_STD

STAGES: tuple[tuple[int, int], ...] = ((2, 64), (2, 128), (4, 256), (4, 512), (1, 512))
"""Convolutions and channels between poolings, up to the last tap (VGG19 has three more)."""


def layout() -> list[tuple[int, int, int, bool]]:
    """Index, input channels, output channels and tap flag of each convolution.

    torchvision numbers convolutions, activations and poolings together. The tap is the activation of
    each stage's first convolution: relu1_1, 2_1, 3_1, 4_1, 5_1 at the indices 1, 6, 11, 20, 29.
    """
    rows, index, inputs = [], 0, 3
    for depth, channels in STAGES:
        for number in range(depth):
            rows.append((index, inputs, channels, number == 0))
            index, inputs = index + 2, channels
        index += 1
    return rows


class VGG19(nn.Module):
    """The convolutions of VGG19 up to relu5_1, under the keys ``features.N``."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {str(index): nn.Conv2d(inputs, outputs, 3, padding=1) for index, inputs, outputs, _ in layout()}
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    @staticmethod
    def from_file(path: str | Path) -> VGG19:
        """Loads what ``train/import_weights.py vgg19`` wrote; the network is frozen.

        Raises:
            CheckpointError: if the file is missing, damaged or holds another network.
        """
        net = VGG19()
        net.load_state_dict(read_network(path, "vgg19")[1])
        return net.eval().requires_grad_(False)

    def taps(self, image: Tensor) -> list[Tensor]:
        """Features of RGB images.

        Args:
            image: ``Tensor[B, 3, H, W]`` in [0, 1].

        Returns:
            relu1_1, 2_1, 3_1, 4_1 and 5_1, each of half the size of the one before.
        """
        x = (image - self.mean) / self.std
        features = []
        for index, _, _, tap in layout():
            if tap and index:
                x = F.max_pool2d(x, 2)
            x = F.relu(self.features[str(index)](x))
            if tap:
                features.append(x)
        return features

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The paper's perceptual distance (eq. 5): the taps' mean absolute differences, summed.

        Args:
            a: ``Tensor[B, 3, H, W]`` in [0, 1].
            b: the same shape.

        Returns:
            A scalar.
        """
        return sum((x - y).abs().mean() for x, y in zip(self.taps(a), self.taps(b), strict=True))
