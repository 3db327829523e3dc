"""IR-18, IR-50 and IR-101, the face recognition trunks of AdaFace: they give the shape code."""

from __future__ import annotations

from torch import Tensor, nn

from facesep.errors import ConfigError

DEPTHS: dict[str, tuple[int, int, int, int]] = {
    "ir18": (2, 2, 2, 2),
    "ir50": (3, 4, 14, 3),
    "ir101": (3, 13, 30, 3),
}
"""Blocks in each of the four stages."""


class IRBlock(nn.Module):
    """Norm, conv, norm, PReLU, strided conv, norm, and a shortcut; nothing after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        if inputs == outputs:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``Tensor[B, inputs, H, W]`` to ``Tensor[B, outputs, H / stride, W / stride]``."""
        return self.res_layer(x) + self.shortcut_layer(x)


class IResNet(nn.Module):
    """AdaFace's network: an aligned face to a direction on the sphere and its length before scaling.

    The module itself does not care about the order of the colour channels; facesep stores and feeds
    RGB (the importer turns weights that were trained on BGR).

    Args:
        name: ``"ir18"``, ``"ir50"`` or ``"ir101"``.
        width: channels of the first stage (64 in the paper).

    Raises:
        ConfigError: for an unknown name.
    """

    def __init__(self, name: str = "ir50", width: int = 64) -> None:
        super().__init__()
        if name not in DEPTHS:
            raise ConfigError(f"unknown recognition trunk {name!r}: choose from {', '.join(DEPTHS)}")
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        blocks, inputs = [], width
        for stage, depth in enumerate(DEPTHS[name]):
            outputs = width << stage
            for index in range(depth):
                blocks.append(IRBlock(inputs, outputs, 2 if index == 0 else 1))
                inputs = outputs
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(inputs * 7 * 7, 512),
            nn.BatchNorm1d(512, affine=False),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embeds faces.

        Args:
            image: ``Tensor[B, 3, 112, 112]``, aligned to the ArcFace template, ``2 * value - 1`` of
                [0, 1].

        Returns:
            The unit vector ``Tensor[B, 512]`` and the length before scaling ``Tensor[B, 1]``.
        """
        embedding = self.output_layer(self.body(self.input_layer(image)))
        length = embedding.norm(dim=1, keepdim=True)
        return embedding / length, length
