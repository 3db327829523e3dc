"""DifFace's two networks: swinir_restoration512_L1.pth and iddpm_ffhq512_ema500000.pth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from facesep.errors import CheckpointError
from facesep.importers.files import Imported, checked, read, tensors, unwrapped
from facesep.nets.official.swinir import SwinIR

TITLE = "DifFace restoration network"
LICENCE = "S-Lab License 1.0: non-commercial"
SWINIR, UNET = "layers.0.residual_group.blocks.0.norm1.weight", "input_blocks.0.0.weight"
BUFFERS = re.compile(r".*\.(attn_mask|relative_position_index)")
"""Constants that SwinIR stores with its weights."""


def matches(tree: Any) -> str | None:
    """What the file is, if it is one of these."""
    state = tensors(tree, "state_dict")
    if unwrapped(state, SWINIR)[1] is not None and any(key.endswith("conv_first.1.weight") for key in state):
        return "SwinIR estimator"
    return "diffusion UNet" if unwrapped(state, UNET)[1] is not None else None


def load(path: str | Path) -> Imported:
    """Reads either network. The diffusion UNet needs ``facesep[refine]``.

    Raises:
        CheckpointError: if it is another file, or diffusers is not installed.
    """
    state = tensors(read(path), "state_dict")
    swinir, prefix, _ = unwrapped(state, SWINIR)
    if prefix is not None:
        swinir = {key: value for key, value in swinir.items() if not BUFFERS.fullmatch(key)}
        with torch.device("meta"):
            table = SwinIR().state_dict()
        return Imported("swinir", checked(path, swinir, table, "DifFace's SwinIR estimator"))
    unet, prefix, _ = unwrapped(state, UNET)
    if prefix is None:
        raise CheckpointError(f"{path} is neither the SwinIR nor the diffusion network of DifFace")
    try:
        from facesep.nets.official.difface_unet import build_unet, convert_unet

        with torch.device("meta"):
            table = build_unet().state_dict()
        converted = convert_unet(unet)
    except ImportError as error:
        raise CheckpointError("the diffusion network needs diffusers: pip install facesep[refine]") from error
    except KeyError as error:
        raise CheckpointError(
            f"{path} is not DifFace's 512 px network; unexpected: {error.args[0]}"
        ) from error
    return Imported("difface-unet", checked(path, converted, table, "DifFace's 512 px diffusion network"))
