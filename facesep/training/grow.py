"""A run that starts from smaller networks: what they have learned stays."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesep.nets.decoder import Decoder
from facesep.nets.encoder import LightHead, ResidualBlock


def grown(state: Mapping[str, Tensor], decoder: Decoder) -> dict[str, Tensor]:
    """The weights of a smaller decoder, made to fit one that differs in nothing but what grows.

    - Rays: the field is the same function of space for any number of them, so it stays. An image of the same
      size then needs fewer levels of the upsampler: its first ones stay, which take over what the last ones
      did within some hundred steps.
    - Size of the image: more levels; the RGB image that a new level adds begins at zero.
    - Modulations begin at zero, where they change nothing.

    Args:
        state: state dict of the smaller decoder.
        decoder: the larger one, as it was built.

    Returns:
        A state dict for ``decoder``; where sizes differ otherwise it does not fit.
    """
    own = decoder.state_dict()
    result = {key: value for key, value in state.items() if key in own or not key.startswith("upsampler.")}
    for key in own.keys() - state.keys():
        if key.startswith("upsampler.to_rgb."):
            result[key] = torch.zeros_like(own[key])
        elif key.startswith(("upsampler.levels.", "field.modulation.")):
            result[key] = own[key]
    size = own["background"].shape[-2:]
    if state["background"].shape[-2:] != size:
        wider = F.interpolate(state["background"].float(), size=size, mode="bilinear", align_corners=False)
        result["background"] = wider
    return result


def grown_encoder(small: nn.Module, encoder: nn.Module) -> dict[str, Tensor]:
    """The weights of a smaller light encoder, made to fit one that sees finer images or has more blocks.

    Twice the input size with a stem of 4 instead of 2 is the same function: the first kernel takes in how the
    image was made smaller before. Blocks are added at the end of a stage and begin as the identity.

    Args:
        small: the smaller encoder.
        encoder: the larger one, as it was built.

    Returns:
        A state dict for ``encoder``; where it differs otherwise it does not fit.
    """
    result = small.state_dict()
    for name, head in encoder.heads.items():
        old = small.heads[name]
        if isinstance(head, LightHead) and isinstance(old, LightHead):
            prefix = f"heads.{name}.stages."
            result = {key: value for key, value in result.items() if not key.startswith(prefix)}
            result |= {prefix + key: value for key, value in _grown_stages(old, head).items()}
    return result


def _grown_stages(old: LightHead, head: LightHead) -> dict[str, Tensor]:
    """The state of a head's stages: layer by layer that of the smaller one, but for blocks that are added."""
    result: dict[str, Tensor] = {}
    rest = list(old.stages)
    for place, layer in enumerate(head.stages):
        follows = rest and isinstance(rest[0], ResidualBlock) == isinstance(layer, ResidualBlock)
        values = (rest.pop(0) if follows else layer).state_dict()
        if isinstance(layer, ResidualBlock) and not follows:
            values |= {key: torch.zeros_like(values[key]) for key in ("norm_2.weight", "norm_2.bias")}
        result |= {f"{place}.{key}": value for key, value in values.items()}
    if old.stages[0].kernel_size == (3, 3) and head.stages[0].kernel_size == (8, 8):
        result["0.weight"] = _finer(result["0.weight"].float())
    return result


def _finer(kernel: Tensor) -> Tensor:
    """A 3 x 3 kernel at stride 2 as one of 8 x 8 at stride 4 that first halves the image as the encoder does.

    Halving with an anti-aliased bilinear filter weighs four pixels by 1, 3, 3 and 1.
    """
    line = kernel.new_tensor([1.0, 3.0, 3.0, 1.0]) / 8
    flat = kernel.flatten(0, 1)[:, None]
    wide = F.conv_transpose2d(flat, torch.outer(line, line)[None, None], stride=2)
    return wide[:, 0].unflatten(0, kernel.shape[:2])
