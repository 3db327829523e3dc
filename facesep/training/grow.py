"""A run that starts from a smaller decoder: more rays, and layers that codes modulate."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from facesep.nets.decoder import Decoder


def grown(state: Mapping[str, Tensor], decoder: Decoder) -> dict[str, Tensor]:
    """The weights of a decoder with fewer rays, made to fit one that differs in nothing but what grows.

    The field is the same function of space for any number of rays, so it stays. An image of the same size
    then needs fewer levels of the upsampler: its first ones stay, which take over what the last ones did
    within some hundred steps. Modulations begin at zero, where they change nothing.

    Args:
        state: state dict of the smaller decoder.
        decoder: the larger one, as it was built.

    Returns:
        A state dict for ``decoder``; where sizes differ otherwise it does not fit.
    """
    own = decoder.state_dict()
    result = {key: value for key, value in state.items() if key in own or not key.startswith("upsampler.")}
    result |= {key: own[key] for key in own if key.startswith("field.modulation.") and key not in state}
    size = own["background"].shape[-2:]
    if state["background"].shape[-2:] != size:
        wider = F.interpolate(state["background"].float(), size=size, mode="bilinear", align_corners=False)
        result["background"] = wider
    return result
