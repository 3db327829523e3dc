"""A refiner of a few thousand weights."""

from __future__ import annotations

import torch


def tiny_unet(size: int = 32, layered: bool = False, **options):
    """A small unconditional network with random weights."""
    from diffusers import UNet2DModel

    from facesep.refine import LayeredUNet

    torch.manual_seed(0)
    settings = {
        "sample_size": size,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4,
        "attention_head_dim": 8,
    } | options
    if layered:
        return LayeredUNet([1, 2], **settings)
    return UNet2DModel(layers_per_block=1, **settings)


def tiny_refiner(size: int = 32, layered: bool = False, estimator: bool = True, **settings):
    """A refiner whose estimator changes pictures a little."""
    from diffusers import DDIMScheduler

    from facesep.refine import FaceRefiner, SwinIREstimator

    torch.manual_seed(1)
    first = SwinIREstimator(channels=12, depths=(2,), heads=2, window=2, ratio=1) if estimator else None
    refiner = FaceRefiner(tiny_unet(size, layered), DDIMScheduler(), first, **{"steps": 3} | settings)
    refiner.set_progress_bar_config(disable=True)
    return refiner
