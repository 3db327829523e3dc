"""A run that starts from smaller networks: what they have learned stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
    fresh = ("field.modulation.", "upsampler.levels.", "upsampler.to_rgb.")
    result |= {key: own[key] for key in own if key.startswith(fresh) and key not in state}
    for key in own:
        if key.startswith("upsampler.to_rgb.") and key not in state:
            result[key] = torch.zeros_like(own[key])
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
    result = dict(small.state_dict())
    heads = [(name, head) for name, head in encoder.heads.items() if isinstance(head, LightHead)]
    for name, head in heads:
        prefix, old = f"heads.{name}.stages", small.heads[name]
        for key in [key for key in result if key.startswith(prefix)]:
            del result[key]
        for place, layer, source in _pairs(head, old):
            values = layer.state_dict() if source is None else source.state_dict()
            if source is None:
                values["norm_2.weight"] = torch.zeros_like(values["norm_2.weight"])
                values["norm_2.bias"] = torch.zeros_like(values["norm_2.bias"])
            result |= {f"{prefix}.{place}.{key}": value for key, value in values.items()}
        stem, first = f"{prefix}.0.weight", head.stages[0].weight
        if result[stem].shape[-1] == 3 and first.shape[-1] == 8:
            result[stem] = _finer(result[stem].float())
    return result


def _pairs(head: LightHead, old: LightHead) -> Iterator[tuple[int, nn.Module, nn.Module | None]]:
    """Layers of a head with those of a smaller one that they continue; None for added blocks."""
    rest = list(old.stages)
    for place, layer in enumerate(head.stages):
        added = isinstance(layer, ResidualBlock) and not (rest and isinstance(rest[0], ResidualBlock))
        yield place, layer, None if added else rest.pop(0) if rest else layer


def _finer(kernel: Tensor) -> Tensor:
    """A 3 x 3 kernel at stride 2 as one of 8 x 8 at stride 4 that first halves the image as the encoder does.

    Halving with an anti-aliased bilinear filter weighs four pixels by 1, 3, 3 and 1.
    """
    line = kernel.new_tensor([1.0, 3.0, 3.0, 1.0]) / 8
    flat = kernel.flatten(0, 1)[:, None]
    wide = F.conv_transpose2d(flat, torch.outer(line, line)[None, None], stride=2)
    return wide[:, 0].unflatten(0, kernel.shape[:2])
