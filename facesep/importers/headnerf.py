"""HeadNeRF's released decoders: the mapping of names, its cameras, and what the paper's decoder can use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facesep.config import DecoderConfig, preset
from facesep.errors import CheckpointError
from facesep.importers.files import Imported, read, tensors, unwrapped
from facesep.nets.decoder import Decoder

TITLE = "HeadNeRF decoder"
LICENCE = "non-commercial research by academic and non-profit organisations"
MARKER = "fg_CD_predictor.FeaExt_module_0.weight"

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


def matches(tree: Any) -> str | None:
    """What the file is, if it is one of these."""
    state, prefix, _ = unwrapped(tensors(tree, "net"), MARKER)
    background = state.get("neural_render.bg_featmap")
    if prefix is None or background is None:
        return None
    levels = sum(key.endswith(".layer_1.weight") for key in state)
    side = background.shape[-1]
    return f"{side} x {side} rays, {side << levels} px"


def load(path: str | Path, config: DecoderConfig | None = None) -> Imported:
    """Fits a released decoder into the paper's, as far as it goes.

    Its codes are others than the paper's, so the columns that multiply codes start at zero: every face
    begins as HeadNeRF's mean head. Levels that the file does not have keep their initial values.

    Args:
        path: ``model_Reso32.pth``, ``model_Reso32HR.pth`` or ``model_Reso64.pth``.
        config: the decoder to fill, by default the paper's; see ``planes``.

    Returns:
        A complete state of the decoder; the notes list what is not HeadNeRF's.

    Raises:
        CheckpointError: if it is another file.
    """
    tree = read(path)
    state, prefix, _ = unwrapped(tensors(tree, "net"), MARKER)
    try:
        source = to_decoder(state)
    except KeyError as error:
        raise CheckpointError(f"{path} is not a HeadNeRF decoder; unexpected: {error.args[0]}") from error
    if prefix is None or "background" not in source:
        raise CheckpointError(f"{path} is not a HeadNeRF decoder: expected {MARKER} in its 'net'")
    config = planes(config or preset("paper").decoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = Decoder(config)
    result, notes = decoder.state_dict(), []
    columns = _kept_columns(decoder)
    for key, target in result.items():
        value = source.pop(key, None)
        if value is None:
            notes.append(f"{key}: not in the file, left at its initial values")
        elif value.shape == target.shape:
            result[key] = value.float()
        elif key in columns and value.shape[0] == target.shape[0]:
            target = torch.zeros_like(target)
            for part in columns[key]:
                target[:, part] = value[:, part].float()
            result[key] = target
            notes.append(f"{key}: the columns of the codes start at zero, the others are copied")
        else:
            notes.append(
                f"{key}: {list(value.shape)} does not fit {list(target.shape)}, left at its initial values"
            )
    notes += [f"{key}: not part of this decoder, left out" for key in source]
    if not all(value.isfinite().all() for value in result.values()):
        raise CheckpointError(f"{path} holds values that are not finite: download it again")
    return Imported("decoder", result, notes)


def _kept_columns(decoder: Decoder) -> dict[str, tuple[slice, ...]]:
    """Columns that do not multiply codes: encoded points and hidden features."""
    encoded, width = decoder.field.encoded, decoder.config.width
    return {
        "field.trunk.0.weight": (slice(encoded),),
        f"field.trunk.{decoder.config.skip}.weight": (slice(encoded), slice(-width, None)),
        "field.colour_1.weight": (slice(width),),
    }
