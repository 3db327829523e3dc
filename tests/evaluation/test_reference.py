"""The reference form: it agrees with the official code's results, and ours agrees with it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from golden import Golden, normal
from paper_geometry import official_rays

from facesep.codes import CODE_LENGTH, Codes
from facesep.config import DecoderConfig, preset
from facesep.evaluation.reference import ReferenceDecoder, encode
from facesep.importers.headnerf import planes, to_decoder
from facesep.nets.decoder import Decoder
from facesep.nets.encoder import build_encoder
from facesep.nets.field import Field


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest difference as a share of the largest value."""
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def random_codes(count: int) -> Codes:
    vector = torch.randn(count, CODE_LENGTH, generator=torch.Generator().manual_seed(3)) * 0.5
    vector[:, -6:] *= 0.2
    return Codes.from_vector(vector)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sizes", "seed"), [("headnerf_paper", (576, 107), 0)])
def test_reference_and_fast_form_agree_with_the_official_code(name, sizes, seed):
    golden = Golden(name)
    config = planes(DecoderConfig(image_size=256, hair=False))
    decoder = Decoder(config).eval().requires_grad_(False)
    decoder.field = Field(config, *sizes).requires_grad_(False)
    decoder.load_state_dict(to_decoder(golden.weights()))
    codes = 0.3 * normal(seed, 1, sizes[0]), 0.3 * normal(seed + 1, 1, sizes[1])
    camera = (golden[f"in.orbit.{part}"][None] for part in ("R", "T", "inv_K"))
    rays = official_rays(*camera, 32)
    found = ReferenceDecoder(decoder).render_rays(*codes, *rays)
    golden.check("orbit.merge_featmap", found.features[0, ::16])
    golden.check("orbit.bg_alpha", 1 - found.opacity[0, 0])
    golden.check("orbit.img", found.image[0, :, ::4, ::4])
    golden.check("orbit.img_patch", found.image[0, :, 100:132, 100:132])
    golden.check("bg_img", found.background[0, :, ::4, ::4])
    with torch.no_grad():
        fast = decoder.render_rays(*codes, *rays)  # in strips
    golden.check("orbit.img", fast.image[0, :, ::4, ::4])
    assert relative(fast.image, found.image) < 1e-4
    assert relative(fast.opacity, found.opacity) < 1e-4


@pytest.mark.parametrize("sampling", ["depth", "volume", "planes"])
@pytest.mark.parametrize(("density", "modulated"), [("relu", False), ("softplus", False), ("softplus", True)])
def test_ours_agrees_with_the_reference_form(sampling, density, modulated):
    torch.manual_seed(0)
    near, far = (2.5, -3.5) if sampling == "planes" else (8.0, 12.0)
    config = dataclasses.replace(
        preset("tiny").decoder, sampling=sampling, density=density, near=near, far=far, modulated=modulated
    )
    decoder = Decoder(config).eval().requires_grad_(False)
    for layer in decoder.field.modulation or ():
        torch.nn.init.normal_(layer.weight, std=0.5)
    for parameter in decoder.upsampler.parameters():
        parameter.mul_(2)  # a nearly flat image would hide errors
    codes = random_codes(2)
    wanted = ReferenceDecoder(decoder)(codes)
    assert wanted.image.std() > 0.01
    with torch.no_grad():
        found = decoder(codes)
    assert relative(found.image, wanted.image) < 1e-5
    assert relative(found.opacity, wanted.opacity) < 1e-5
    plain = decoder(codes)
    assert relative(plain.image, wanted.image) < 1e-5


@pytest.mark.parametrize("kind", ["light", pytest.param("paper", marks=pytest.mark.slow)])
def test_encoders_agree(kind):
    torch.manual_seed(1)
    config = (
        preset("tiny").encoder
        if kind == "light"
        else dataclasses.replace(preset("paper").encoder, recognition="ir18", width=4)
    )
    encoder = build_encoder(config).eval().requires_grad_(False)
    image = torch.rand(2, 3, 64, 64)
    points = torch.tensor([[22.0, 30], [42, 30], [32, 40], [25, 50], [39, 50]]).expand(2, 5, 2)
    with torch.no_grad():
        for given in (None, points):
            wanted, found = encode(encoder, image, given).vector(), encoder(image, given).vector()
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
