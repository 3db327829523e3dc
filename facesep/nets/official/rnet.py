"""R-Net, the coefficient regressor of Deep3DFaceRecon, with seven heads or with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from facesep.nets.official.resnet import Bottleneck, ResNet

HEADS: dict[str, int] = {
    "identity": 80,
    "expression": 64,
    "texture": 80,
    "rotation": 3,
    "illumination": 27,
    "shift": 2,
    "depth": 1,
}
"""The seven heads and their sizes, in the order of the 257 coefficients."""

ATTRIBUTE_HEADS: dict[str, tuple[str, ...]] = {
    "expression": ("expression",),
    "texture": ("texture",),
    "illumination": ("illumination",),
    "rotation": ("rotation",),
    "translation": ("shift", "depth"),
}
"""Which heads hold the code of an attribute."""


class RNet(nn.Module):
    """ResNet-50, pooled, and parallel linear heads.

    Args:
        sizes: length of each head's output; the default is the seven heads of Deep3DFaceRecon.
        width: channels of the trunk's first stage (64 in the paper).
    """

    def __init__(self, sizes: Sequence[int] = tuple(HEADS.values()), width: int = 64) -> None:
        super().__init__()
        self.backbone = ResNet(Bottleneck, (3, 4, 6, 3), width)
        self.final_layers = nn.ModuleList(nn.Conv2d(self.backbone.channels, size, 1) for size in sizes)
        for layer in self.final_layers:
            # Deep3DFaceRecon starts at zero; a cosine loss has no direction there.
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)

    def features(self, image: Tensor) -> Tensor:
        """The pooled feature, ``Tensor[B, 2048]``."""
        return self.backbone(image)[-1].mean((2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """Regresses the coefficients.

        Args:
            image: ``Tensor[B, 3, 224, 224]``, the Deep3D crop, RGB in [0, 1] without normalisation.

        Returns:
            ``Tensor[B, sum(sizes)]``, the outputs of all heads joined.
        """
        pooled = self.features(image)[..., None, None]
        return torch.cat([layer(pooled) for layer in self.final_layers], 1).flatten(1)


def split_coefficients(coefficients: Tensor) -> dict[str, Tensor]:
    """Splits ``Tensor[B, 257]`` into the seven parts named in ``HEADS``."""
    return dict(zip(HEADS, coefficients.split(list(HEADS.values()), dim=-1), strict=True))


def single_head(state: Mapping[str, Tensor], attribute: str) -> dict[str, Tensor]:
    """The weights of an R-Net that predicts one attribute alone.

    Args:
        state: state dict of a seven-headed ``RNet``.
        attribute: a key of ``ATTRIBUTE_HEADS``.

    Returns:
        State dict of ``RNet((size,))``: the trunk and the attribute's head (for the translation the
        two heads joined), whose output equals the slice of the seven-headed one.
    """
    numbers = [list(HEADS).index(name) for name in ATTRIBUTE_HEADS[attribute]]
    result = {key: value for key, value in state.items() if key.startswith("backbone.")}
    for part in ("weight", "bias"):
        result[f"final_layers.0.{part}"] = torch.cat([state[f"final_layers.{n}.{part}"] for n in numbers])
    return result
