"""The ArcFace trunks of insightface, used by the identity loss and the identity metric.

They resemble ``facesep.nets.official.iresnet`` but are not interchangeable with it: the first block of
every stage projects its shortcut even where the channels agree, and the last norm has learned weights.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from facesep.errors import ConfigError
from facesep.nets.crops import arcface_crop
from facesep.nets.files import read_network
from facesep.nets.official.recogniser import Recogniser

DEPTHS: dict[str, tuple[int, int, int, int]] = {
    "r18": (2, 2, 2, 2),
    "r50": (3, 4, 14, 3),
    "r100": (3, 13, 30, 3),
}
"""Blocks in each of the four stages."""


class Block(nn.Module):
    """Norm, conv, norm, PReLU, strided conv, norm, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, inputs, H, W]`` to ``Tensor[B, outputs, H / stride, W / stride]``."""
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(y)) + (x if self.downsample is None else self.downsample(x))


class ArcFace(Recogniser):
    """insightface's iresnet.

    Args:
        name: ``"r18"``, ``"r50"`` or ``"r100"``.

    Raises:
        ConfigError: for an unknown name.
    """

    def __init__(self, name: str = "r50") -> None:
        super().__init__()
        if name not in DEPTHS:
            raise ConfigError(f"unknown ArcFace trunk {name!r}: choose from {', '.join(DEPTHS)}")
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        inputs = 64
        for stage, depth in enumerate(DEPTHS[name]):
            outputs = 64 << stage
            blocks = [Block(inputs, outputs, 2)]
            blocks += [Block(outputs, outputs, 1) for _ in range(depth - 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.bn2 = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs * 7 * 7, 512)
        self.features = nn.BatchNorm1d(512)

    @staticmethod
    def from_file(path: str | Path) -> ArcFace:
        """Loads what ``train/import_weights.py arcface`` wrote; the network is frozen.

        Raises:
            CheckpointError: if the file is missing, damaged or holds another network.
        """
        name, state = read_network(path, "arcface")
        net = ArcFace(name.split("-")[1])
        net.load_state_dict(state)
        return net.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Embeds faces.

        Args:
            image: ``Tensor[B, 3, 112, 112]``, RGB, aligned to the ArcFace template, ``2 * value - 1``
                of [0, 1].

        Returns:
            ``Tensor[B, 512]``, not normalised.
        """
        x = self.prelu(self.bn1(self.conv1(image)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(self.bn2(x).flatten(1)))

    def crop(self, image: Tensor, points: Tensor) -> Tensor:
        """The ArcFace template's crop, in [-1, 1]."""
        return arcface_crop(image, points, fit="insightface") * 2 - 1
