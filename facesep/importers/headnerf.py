"""HeadNeRF's released decoders: the mapping of names, its cameras, and what the paper's decoder can use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from facesep.config import DecoderConfig

NEAR, FAR = 2.5, -3.5
"""The world planes (z) between which HeadNeRF samples its rays."""
PATTERNS = (
    (r"fg_CD_predictor\.FeaExt_module_(\d+)\.(weight|bias)", r"field.trunk.\1.\2"),
    (r"fg_CD_predictor\.density_module\.(weight|bias)", r"field.density.\1"),
    (r"fg_CD_predictor\.RGB_layer_(\d)\.(weight|bias)", r"field.colour_\1.\2"),
    (r"neural_render\.bg_featmap", "background"),
    (
        r"neural_render\.feat_upsample_list\.(\d)\.layer_([12])\.(weight|bias)",
        r"upsampler.levels.\1.layer_\2.\3",
    ),
    (r"neural_render\.feat_layers\.(\d)\.(weight|bias)", r"upsampler.levels.\1.out.\2"),
    (r"neural_render\.feat_2_rgb_list\.(\d)\.(weight|bias)", r"upsampler.to_rgb.\1.\2"),
)
"""Official keys and ours. The blur's taps (1, 2, 1) are stored as keys ending in ``.f``: constants here."""


def planes(config: DecoderConfig) -> DecoderConfig:
    """The configuration with HeadNeRF's way of sampling rays, which its weights expect."""
    return replace(config, sampling="planes", near=NEAR, far=FAR, density="relu")


def rename(key: str) -> str | None:
    """Our name of an official key; None for the blur's taps.

    Raises:
        KeyError: for a key that HeadNeRF does not have.
    """
    if re.fullmatch(r"neural_render\..*\.f", key):
        return None
    for pattern, ours in PATTERNS:
        if match := re.fullmatch(pattern, key):
            return match.expand(ours)
    raise KeyError(key)


def to_decoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official state dict in our layout: renamed, with the field's 1x1 convolutions as matrices."""
    result = {}
    for key, value in state.items():
        name = rename(key)
        if name is not None:
            matrix = name.startswith("field.") and value.ndim == 4
            result[name] = value.flatten(1) if matrix else value
    return result


def official_rays(
    rotation: Tensor, origin: Tensor, inverse_intrinsics: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Rays as HeadNeRF casts them: through the corners of the cells, from a camera-to-world pose.

    Args:
        rotation: ``Tensor[B, 3, 3]``, camera axes (x right, y down, z forward) to world.
        origin: ``Tensor[B, 3]``, camera centre.
        inverse_intrinsics: ``Tensor[B, 3, 3]`` for an image of ``count`` pixels.
        count: rays along each side.

    Returns:
        ``(origins, directions)``: ``Tensor[B, 1, 3]`` and unit ``Tensor[B, count * count, 3]`` for
        :meth:`facesep.nets.decoder.Decoder.render_rays`.
    """
    line = torch.arange(count, dtype=origin.dtype, device=origin.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    pixels = torch.stack((x, y, torch.ones_like(x)), -1).reshape(-1, 3)
    directions = (pixels @ inverse_intrinsics.transpose(1, 2)) @ rotation.transpose(1, 2)
    return origin[:, None], directions / directions.norm(dim=-1, keepdim=True)
