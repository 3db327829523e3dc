"""A run that starts from a trained UNet, of its own shape or with fewer levels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import Tensor

from facesep.errors import ConfigError

if TYPE_CHECKING:
    from diffusers import UNet2DModel


def grown_unet(old: UNet2DModel, new: UNet2DModel) -> dict[str, Tensor]:
    """The weights of a UNet, made to fit one that has the same levels inside and perhaps more outside.

    A UNet is convolutional, and its attention knows no positions: weights of one size of picture serve any
    other. A further level outside lets the inner ones work on the resolution that they were trained on; its
    weights, and those whose shape it changes (where it meets the old levels, and where the time is told),
    stay as ``new`` has them.

    Args:
        old: the trained UNet.
        new: the one to train.

    Returns:
        A state dict for ``new``.

    Raises:
        ConfigError: if they differ in anything else.
    """
    result, trained = new.state_dict(), old.state_dict()
    inner, widths = list(old.config.block_out_channels), list(new.config.block_out_channels)
    more = len(widths) - len(inner)
    if more < 0 or widths[more:] != inner:
        raise ConfigError(f"the UNet of --init has levels of {inner}, those of the run are {widths}")
    for key, value in trained.items():
        name = re.sub(r"^down_blocks\.(\d+)", lambda found: f"down_blocks.{int(found[1]) + more}", key)
        fits = name in result and result[name].shape == value.shape
        if not fits and (name not in result or not more):
            raise ConfigError(f"the UNet of --init does not fit 'unet' of the configuration ({key})")
        if fits:
            result[name] = value.clone()
    return result
