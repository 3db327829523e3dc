"""The refiner's two networks as diffusers models, which know how to save and load themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers import ModelMixin, UNet2DModel
from diffusers.configuration_utils import ConfigMixin, register_to_config

from facesep.errors import CheckpointError
from facesep.nets.official.difface_unet import CHANNELS, DEPTHS, trim, unet_options
from facesep.nets.official.swinir import SwinIR


class SwinIREstimator(SwinIR, ModelMixin, ConfigMixin):
    """``facesep.nets.official.swinir.SwinIR`` with a configuration; the arguments are the same."""

    @register_to_config
    def __init__(
        self,
        channels: int = 180,
        depths: Sequence[int] = (6,) * 8,
        heads: int = 6,
        window: int = 8,
        ratio: int = 2,
    ) -> None:
        super().__init__(channels, depths, heads, window, ratio)


class LayeredUNet(UNet2DModel):
    """A ``UNet2DModel`` whose number of residual blocks differs from level to level.

    It is built with the largest number and trimmed; the configuration keeps the numbers, so that
    ``save_pretrained`` and ``from_pretrained`` work.

    Args:
        layers_per_level: residual blocks of each level on the way down; one more on the way up.
        **unet: all other arguments of ``UNet2DModel``.
    """

    def __init__(self, layers_per_level: Sequence[int], **unet: Any) -> None:
        if not layers_per_level or min(layers_per_level) < 1:
            raise CheckpointError(f"layers_per_level needs whole numbers from 1 on, got {layers_per_level}")
        if len(layers_per_level) != len(unet.get("block_out_channels", ())):
            raise CheckpointError("layers_per_level and block_out_channels differ in length")
        super().__init__(**unet | {"layers_per_block": max(layers_per_level)})
        self.register_to_config(layers_per_level=list(layers_per_level))
        trim(self, layers_per_level)

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """What a configuration may hold: what ``UNet2DModel`` takes, and the levels."""
        keys = UNet2DModel._get_init_keys(UNet2DModel)
        return keys | {"layers_per_level"} if input_class is LayeredUNet else keys


def difface_unet() -> LayeredUNet:
    """DifFace's 512 px network, untrained."""
    return LayeredUNet(DEPTHS, **unet_options(CHANNELS))
