"""DifFace's diffusion network and schedule as diffusers models.

Its number of residual blocks differs from level to level, which the configuration of ``UNet2DModel``
cannot say: it is built with the largest number and trimmed. ``facesep.refine.LayeredUNet`` is the
same network with a configuration that can be saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, UNet2DModel

CHANNELS = (32, 64, 128, 256, 256, 512, 512)
DEPTHS = (1, 2, 2, 2, 2, 3, 4)
"""Residual blocks of each level on the way down; one more on the way up."""
ATTENTION = 3
"""The last levels (32, 16 and 8 px) attend."""
HEAD = 64
STEPS = 250
"""Steps of the respaced chain: every fourth of the 1000."""

_LAYERS = {
    "": "",
    "in_layers.0": "norm1.",
    "in_layers.2": "conv1.",
    "emb_layers.1": "time_emb_proj.",
    "out_layers.0": "norm2.",
    "out_layers.3": "conv2.",
    "skip_connection": "conv_shortcut.",
    "norm": "group_norm.",
}


def build_unet(
    channels: Sequence[int] = CHANNELS,
    depths: Sequence[int] = DEPTHS,
    attention: int = ATTENTION,
    size: int = 512,
    outputs: int = 6,
) -> UNet2DModel:
    """Builds the network.

    Args:
        channels: width of each level.
        depths: residual blocks of each level.
        attention: how many of the last levels attend.
        size: side of the image in pixels.
        outputs: 6 for noise and variance (DDIM ignores the latter), 3 for noise alone.

    Returns:
        A ``UNet2DModel``: noisy RGB in [-1, 1] and a time step to the noise.
    """
    from diffusers import UNet2DModel

    net = UNet2DModel(**unet_options(channels, attention, size, outputs), layers_per_block=max(depths))
    trim(net, depths)
    return net


def unet_options(
    channels: Sequence[int], attention: int = ATTENTION, size: int = 512, outputs: int = 6
) -> dict[str, Any]:
    """Arguments of ``UNet2DModel``, apart from the number of residual blocks; see ``build_unet``."""
    plain = len(channels) - attention
    return {
        "sample_size": size,
        "in_channels": 3,
        "out_channels": outputs,
        "block_out_channels": tuple(channels),
        "down_block_types": ("DownBlock2D",) * plain + ("AttnDownBlock2D",) * attention,
        "up_block_types": ("AttnUpBlock2D",) * attention + ("UpBlock2D",) * plain,
        "attention_head_dim": HEAD,
        "resnet_time_scale_shift": "scale_shift",
        "norm_num_groups": 32,
        "norm_eps": 1e-5,
        "attn_norm_num_groups": 32,
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }


def trim(net: UNet2DModel, depths: Sequence[int]) -> None:
    """Cuts a network with ``max(depths)`` residual blocks a level down to ``depths``, in place."""
    for depth, block in zip(depths, net.down_blocks, strict=True):
        _keep(block, list(range(depth)))
    for depth, block in zip(depths, reversed(net.up_blocks), strict=True):
        _keep(block, [*range(depth), max(depths)])  # only the last takes the narrower skip


def _keep(block: torch.nn.Module, numbers: Sequence[int]) -> None:
    """Trims the residual and attention layers of a level."""
    for name in ("resnets", "attentions"):
        if getattr(block, name, None) is not None:
            setattr(block, name, torch.nn.ModuleList(getattr(block, name)[n] for n in numbers))


def key_map(depths: Sequence[int] = DEPTHS, attention: int = ATTENTION) -> dict[str, str]:
    """Official module names (``input_blocks.3.0``) to those of ``UNet2DModel``."""
    levels = len(depths)
    names = {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "middle_block.0": "mid_block.resnets.0",
        "middle_block.1": "mid_block.attentions.0",
        "middle_block.2": "mid_block.resnets.1",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
    }
    index = 1
    for level, depth in enumerate(depths):
        for block in range(depth):
            names[f"input_blocks.{index}.0"] = f"down_blocks.{level}.resnets.{block}"
            names[f"input_blocks.{index}.1"] = f"down_blocks.{level}.attentions.{block}"
            index += 1
        if level < levels - 1:
            names[f"input_blocks.{index}.0.op"] = f"down_blocks.{level}.downsamplers.0.conv"
            index += 1
    index = 0
    for level in range(levels):
        depth = depths[levels - 1 - level]
        for block in range(depth + 1):
            names[f"output_blocks.{index}.0"] = f"up_blocks.{level}.resnets.{block}"
            if level < attention:
                names[f"output_blocks.{index}.1"] = f"up_blocks.{level}.attentions.{block}"
            index += 1
        last = 2 if level < attention else 1
        names[f"output_blocks.{index - 1}.{last}.conv"] = f"up_blocks.{level}.upsamplers.0.conv"
    return names


def convert_unet(
    state: Mapping[str, Tensor], depths: Sequence[int] = DEPTHS, attention: int = ATTENTION
) -> dict[str, Tensor]:
    """The official state dict in the layout of ``build_unet``.

    Raises:
        KeyError: for a key that the official network does not have.
    """
    names, result = key_map(depths, attention), {}
    for key, value in state.items():
        module, part = key.rsplit(".", 1)
        base, inner = _locate(module, names)
        if inner == "qkv":  # ordered by head, then q, k, v
            by_head = value.reshape(-1, 3, HEAD, *value.shape[1:2])
            for number, name in enumerate(("to_q", "to_k", "to_v")):
                result[f"{base}.{name}.{part}"] = by_head[:, number].flatten(0, 1).contiguous()
        elif inner == "proj_out":  # a convolution of one pixel
            result[f"{base}.to_out.0.{part}"] = value.flatten(1) if part == "weight" else value
        else:
            result[f"{base}.{_LAYERS[inner]}{part}"] = value
    return result


def _locate(module: str, names: Mapping[str, str]) -> tuple[str, str]:
    """Our name of the known part of an official module name, and the rest of it."""
    words = module.split(".")
    for count in range(len(words), 0, -1):
        known = ".".join(words[:count])
        if known in names:
            return names[known], ".".join(words[count:])
    raise KeyError(module)


def difface_scheduler() -> DDIMScheduler:
    """The respaced chain: steps 996, 992, ... 0, set and ready.

    DifFace starts it at index N of 250 with ``add_noise(estimate, noise, 4 N)`` and runs the last N of
    ``timesteps``. Call ``step(..., use_clipped_model_output=False)``: the clipped image enters the mean
    only, the direction keeps the raw noise.
    """
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        clip_sample=True,
        clip_sample_range=1.0,
        set_alpha_to_one=True,
        prediction_type="epsilon",
        timestep_spacing="leading",
        steps_offset=0,
    )
    scheduler.set_timesteps(STEPS)
    return scheduler
