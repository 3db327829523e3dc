"""Networks grow: what they had learned stays."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from facesep.codes import CODE_LENGTH, Codes
from facesep.config import preset
from facesep.nets.decoder import Decoder
from facesep.nets.encoder import build_encoder
from facesep.nets.upsampler import enlarge
from facesep.training.grow import grown, grown_encoder

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


def test_a_larger_image_begins_as_the_smaller_one_enlarged():
    small, large = built(), built(image_size=128)
    large.load_state_dict(grown(small.state_dict(), large))
    with torch.no_grad():
        before, after = small(faces()).image, large(faces()).image
    assert after.shape[-1] == 128
    torch.testing.assert_close(torch.logit(after), enlarge(torch.logit(before)), atol=1e-4, rtol=1e-4)


def test_an_encoder_grows_deeper_and_sees_finer():
    small = built_encoder()
    deeper = built_encoder(blocks=(1, 1, 3))
    finer = built_encoder(input_size=64, stem=4)
    torch.manual_seed(2)
    image = F.interpolate(torch.rand(2, 3, 8, 8), size=(64, 64), mode="bicubic").clamp(0, 1)
    for encoder in (deeper, finer):
        with torch.no_grad():
            begun = encoder(image)
        encoder.load_state_dict(grown_encoder(small, encoder))
        with torch.no_grad():
            wanted, found = small(image), encoder(image)
        for name, code in wanted.items():
            fresh, error = getattr(begun, name) - code, getattr(found, name) - code
            if encoder is deeper:
                torch.testing.assert_close(getattr(found, name), code, atol=1e-5, rtol=1e-4)
            # Halving the image in the kernel or before it differs at the border alone.
            assert error.abs().mean() < 0.15 * fresh.abs().mean(), name
    wider = built_encoder(widths=(8, 16, 24))
    with pytest.raises(RuntimeError, match="size mismatch"):
        wider.load_state_dict(grown_encoder(small, wider))


def built_encoder(**changes) -> torch.nn.Module:
    torch.manual_seed(len(changes))
    return build_encoder(dataclasses.replace(preset("tiny").encoder, **changes)).eval()


def test_other_sizes_do_not_fit():
    other = built(width=48)
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict(grown(built().state_dict(), other))
