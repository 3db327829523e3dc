"""The networks of a refiner, SwinIR and a diffusion UNet, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from facesep.errors import ConfigError


@dataclass(frozen=True)
class EstimatorConfig:
    """SwinIR; see ``facesep.nets.official.swinir.SwinIR``. ``depths`` empty: no estimator."""

    channels: int = 60
    depths: tuple[int, ...] = (4, 4, 4)
    heads: int = 6
    window: int = 4
    ratio: int = 2


@dataclass(frozen=True)
class UNetConfig:
    """``UNet2DModel``.

    Attributes:
        channels: width of each level; each level halves the picture.
        layers: residual blocks of a level.
        attention: how many of the last levels attend.
        head: width of an attention head; it divides the widths that attend.
        groups: groups of the norms; they divide every width.
    """

    channels: tuple[int, ...] = (64, 128, 192, 256)
    layers: int = 2
    attention: int = 1
    head: int = 32
    groups: int = 32

    def __post_init__(self) -> None:
        if any(width % self.groups for width in self.channels):
            raise ConfigError(f"unet.groups={self.groups} must divide every width of {self.channels}")
        if not 0 <= self.attention <= len(self.channels):
            raise ConfigError(f"unet.attention must be 0 to {len(self.channels)}")
        attending = self.channels[-max(self.attention, 1) :]  # the middle always attends
        if any(width % self.head for width in attending):
            raise ConfigError(f"unet.head={self.head} must divide the widths {attending}")


class Networks(nn.Module):
    """Estimator and UNet as one module, so that one call gives both losses."""

    def __init__(self, size: int, estimator: EstimatorConfig, unet: UNetConfig) -> None:
        from diffusers import UNet2DModel

        from facesep.refine import SwinIREstimator

        super().__init__()
        self.estimator = SwinIREstimator(**vars(estimator)) if estimator.depths else None
        plain = len(unet.channels) - unet.attention
        self.unet = UNet2DModel(
            sample_size=size,
            block_out_channels=unet.channels,
            layers_per_block=unet.layers,
            down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * unet.attention,
            up_block_types=("AttnUpBlock2D",) * unet.attention + ("UpBlock2D",) * plain,
            attention_head_dim=unet.head,
            norm_num_groups=unet.groups,
        )

    def forward(
        self, soft: Tensor | None, sharp: Tensor, noisy: Tensor, noise: Tensor, t: Tensor
    ) -> dict[str, Tensor]:
        """``{"estimate": L1, "noise": mean square}``; all pictures ``Tensor[B, 3, S, S]``.

        Without an estimator nobody needs the soft pictures.
        """
        losses = {"noise": F.mse_loss(self.unet(noisy, t).sample.float(), noise)}
        if self.estimator is not None:
            losses["estimate"] = F.l1_loss(self.estimator(soft).float(), sharp)
        return losses
