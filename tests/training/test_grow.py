"""A decoder grows: what it had learned stays."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from facesep.codes import CODE_LENGTH, Codes
from facesep.config import preset
from facesep.nets.decoder import Decoder
from facesep.training.grow import grown

TINY = dataclasses.replace(preset("tiny").decoder, image_size=64)  # three levels


def built(**changes) -> Decoder:
    torch.manual_seed(0)
    decoder = Decoder(dataclasses.replace(TINY, **changes)).eval()
    torch.nn.init.uniform_(decoder.background)
    return decoder


def faces() -> Codes:
    vector = torch.randn(2, CODE_LENGTH, generator=torch.Generator().manual_seed(1)) * 0.5
    vector[:, -6:] *= 0.2
    return Codes.from_vector(vector)


def test_modulated_layers_begin_as_they_were():
    small, large = built(), built(modulated=True)
    for layer in large.field.modulation:
        torch.nn.init.zeros_(layer.weight)
    large.load_state_dict(grown(small.state_dict(), large))
    torch.testing.assert_close(large(faces()).image, small(faces()).image, atol=1e-5, rtol=1e-5)
    # What is modulated already stays so.
    torch.nn.init.normal_(large.field.modulation[1].weight)
    again = built(modulated=True)
    again.load_state_dict(grown(large.state_dict(), again))
    assert torch.equal(again.field.modulation[1].weight, large.field.modulation[1].weight)


def test_more_rays_see_the_same_head():
    small, large = built(), built(ray_size=16)
    large.load_state_dict(grown(small.state_dict(), large))
    assert len(large.upsampler.levels) == 2 and len(small.upsampler.levels) == 3
    with torch.no_grad():
        coarse, fine = large(faces(), ray_size=8, levels=2), large(faces())
        same = small(faces(), levels=2)
    # With the old number of rays the grown decoder draws the same head; the border alone is interpolated.
    torch.testing.assert_close(coarse.opacity, same.opacity, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(coarse.distance, same.distance, atol=1e-5, rtol=1e-5)
    assert fine.image.shape[-1] == 64
    pooled = F.avg_pool2d(fine.opacity, 2)
    assert (pooled - same.opacity).abs().mean() < 0.25 * same.opacity.std()


def test_other_sizes_do_not_fit():
    other = built(width=48)
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict(grown(built().state_dict(), other))
