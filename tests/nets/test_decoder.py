"""The decoder: folding is exact, gradients are right, batches equal their items."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from facesep.camera import rays
from facesep.codes import CODE_LENGTH, Codes
from facesep.config import preset
from facesep.nets.decoder import Decoder
from facesep.nets.field import Field, positional_encoding
from facesep.nets.upsampler import Level, Upsampler, blur, enlarge

TINY = preset("tiny").decoder


def random_codes(count: int, seed: int = 0) -> Codes:
    vector = torch.randn(count, CODE_LENGTH, generator=torch.Generator().manual_seed(seed)) * 0.5
    vector[:, -6:] *= 0.2
    return Codes.from_vector(vector)


@pytest.fixture
def decoder() -> Decoder:
    torch.manual_seed(0)
    return Decoder(TINY).eval()


def modulated(field: Field, index: int, sums, code):
    """FiLM on the sums of a layer, where the field has it."""
    if field.modulation is None:
        return sums
    scale, shift = (0.1 * F.linear(code, field.modulation[index].weight)).chunk(2, -1)
    return (1 + scale)[:, None] * sums + shift[:, None]


def plain_field(field: Field, points, geometry, appearance):
    """The field as the paper writes it: codes repeated and concatenated at every sample."""
    count = points.shape[1]
    entry = torch.cat(
        (positional_encoding(points, field.frequencies), geometry[:, None].expand(-1, count, -1)), -1
    )
    hidden = F.relu(modulated(field, 0, field.trunk[0](entry), geometry))
    for index, layer in enumerate(field.trunk[1:], start=1):
        given = torch.cat((entry, hidden), -1) if index == field.skip else hidden
        hidden = F.relu(modulated(field, index, layer(given), geometry))
    density = field.density_activation(field.density(hidden)[..., 0])
    colour = torch.cat((field.colour_0(hidden), appearance[:, None].expand(-1, count, -1)), -1)
    return density, field.colour_2(F.relu(modulated(field, -1, field.colour_1(colour), appearance)))


@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("modulation", [None, 0.0, 1.0])
def test_folded_codes_give_the_same_field(skip, modulation):
    torch.manual_seed(1)
    config = dataclasses.replace(TINY, skip=skip, modulated=modulation is not None)
    field = Field(config, geometry=20, appearance=7).double()
    for layer in field.modulation or ():
        assert not layer.weight.any()  # it begins as a field without
        torch.nn.init.normal_(layer.weight, std=modulation)
    points = torch.randn(3, 11, 3, dtype=torch.float64)
    geometry, appearance = torch.randn(3, 20).double(), torch.randn(3, 7).double()
    density, hidden = field(points, field.folded(geometry, appearance))
    features = field.features(hidden, torch.ones(3, 11, dtype=torch.float64))
    wanted_density, wanted_features = plain_field(field, points, geometry, appearance)
    torch.testing.assert_close(density.double(), wanted_density, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(features, wanted_features, atol=1e-10, rtol=1e-10)


def test_the_last_layer_commutes_with_the_integral():
    torch.manual_seed(2)
    field = Field(TINY, geometry=4, appearance=3).double()
    hidden = torch.randn(2, 5, 6, TINY.colour_width, dtype=torch.float64)
    weights = torch.rand(2, 5, 6, dtype=torch.float64)
    before = (weights[..., None] * field.colour_2(hidden)).sum(2)
    after = field.features((weights[..., None] * hidden).sum(2), weights.sum(2))
    torch.testing.assert_close(after, before)


def test_encoding_order_is_coordinates_then_sines_and_cosines_per_octave():
    point = torch.tensor([[0.3, -0.2, 0.7]], dtype=torch.float64)
    wanted = [point] + [f(point * 2**k) for k in range(3) for f in (torch.sin, torch.cos)]
    torch.testing.assert_close(positional_encoding(point, 3), torch.cat(wanted, -1))


def test_renderer_gradients_by_finite_differences():
    """gradcheck of the whole march: field, volume integral, pose."""
    torch.manual_seed(3)
    config = dataclasses.replace(TINY, samples=4, width=8, colour_width=6, frequencies=1, features=16)
    decoder = Decoder(config).double()

    def march(geometry, appearance, rotation, translation):
        origins, directions = rays(rotation, translation, 2)
        folded = decoder.field.folded(geometry, appearance)
        from facesep.nets.volume import sample_edges

        edges, stretch = sample_edges(config, origins, directions)
        return decoder._march(folded, origins, directions, edges, stretch, jitter=False)

    inputs = [torch.randn(1, n, dtype=torch.float64) * 0.3 for n in (512 + 64 + 16, 80 + 27, 3, 3)]
    free = [i for i in inputs]
    for tensor in free:
        tensor.requires_grad_()
    # The density leaves the field in float32, so differences are taken with a coarse step.
    assert torch.autograd.gradcheck(march, free, eps=1e-3, atol=2e-3, rtol=2e-2, fast_mode=True)


def test_a_batch_equals_its_items(decoder):
    codes = random_codes(3)
    with torch.no_grad():
        together = decoder(codes)
        for index in range(3):
            alone = decoder(codes[index : index + 1])
            torch.testing.assert_close(together.image[index], alone.image[0], atol=1e-5, rtol=0)
            torch.testing.assert_close(together.opacity[index], alone.opacity[0], atol=1e-5, rtol=0)


def test_chunks_equal_one_pass(decoder, monkeypatch):
    codes = random_codes(2)
    with torch.no_grad():
        chunked = decoder(codes).image
        monkeypatch.setattr("facesep.nets.decoder.CHUNK", 10**9)
        torch.testing.assert_close(decoder(codes).image, chunked, atol=1e-6, rtol=0)
    torch.testing.assert_close(decoder(codes).image.detach(), chunked, atol=1e-6, rtol=0)


def test_an_empty_head_shows_the_background_alone(decoder):
    with torch.no_grad():
        decoder.field.density.weight.zero_()
        decoder.field.density.bias.fill_(-200.0)
        a, b = decoder(random_codes(2, seed=1)), decoder(random_codes(2, seed=2))
    torch.testing.assert_close(a.image, b.image)
    assert float(a.opacity.max()) == 0.0


def test_an_opaque_head_hides_the_background_and_lies_at_the_front(decoder):
    with torch.no_grad():
        decoder.field.density.weight.zero_()
        decoder.field.density.bias.fill_(1e4)
        codes = random_codes(1).replace(rotation=torch.zeros(1, 3), translation=torch.zeros(1, 3))
        rendering = decoder(codes)
        decoder.background.fill_(-50.0)
        other = decoder(codes)
    centre = slice(3, 5)
    torch.testing.assert_close(rendering.opacity[..., centre, centre], torch.ones(1, 1, 2, 2))
    # The ellipsoid's front is at z = centre + radius; near the axis that is 10 - z away.
    front = 10 - (TINY.volume_centre[2] + TINY.volume_radii[2])
    assert float(rendering.distance[..., 4, 4]) == pytest.approx(front, abs=0.05)
    middle = slice(14, 18)
    torch.testing.assert_close(rendering.image[..., middle, middle], other.image[..., middle, middle])


def test_without_the_hair_code_hair_changes_nothing():
    torch.manual_seed(4)
    decoder = Decoder(dataclasses.replace(TINY, hair=False)).eval()
    full = Decoder(TINY)
    assert full.field.trunk[0].in_features - decoder.field.trunk[0].in_features == 16
    codes = random_codes(1)
    with torch.no_grad():
        torch.testing.assert_close(
            decoder(codes).image, decoder(codes.replace(hair=codes.hair + 5)).image, atol=0, rtol=0
        )


def test_fewer_rays_and_levels_give_a_smaller_image(decoder):
    with torch.no_grad():
        image = decoder(random_codes(1), ray_size=4, levels=1).image
    assert image.shape == (1, 3, 8, 8)


def test_gradients_reach_every_code(decoder):
    vector = random_codes(2).vector().requires_grad_()
    decoder(Codes.from_vector(vector)).image.square().mean().backward()
    for name, gradient in Codes.from_vector(vector.grad).items():
        assert gradient.abs().max() > 0, name


def test_blur_is_a_normalised_binomial_filter():
    image = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(5))
    kernel = torch.tensor([1.0, 2.0, 1.0])
    weight = (torch.outer(kernel, kernel) / 16).expand(3, 1, 3, 3)
    wanted = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), weight, groups=3)
    torch.testing.assert_close(blur(image), wanted)
    torch.testing.assert_close(enlarge(torch.full((1, 3, 4, 4), 0.3)), torch.full((1, 3, 8, 8), 0.3))


def test_blurring_after_the_convolution_is_exact():
    torch.manual_seed(6)
    level = Level(8, 5)
    x = torch.randn(2, 8, 6, 6)
    hidden = F.leaky_relu(level.layer_1(x), 0.2)
    hidden = F.leaky_relu(level.layer_2(hidden), 0.2) + x.repeat(1, 4, 1, 1)
    wanted = F.leaky_relu(level.out(blur(F.pixel_shuffle(hidden, 2))), 0.2)
    torch.testing.assert_close(level(x), wanted, atol=1e-6, rtol=1e-5)


def test_upsampler_sizes():
    upsampler = Upsampler(TINY)
    assert upsampler(torch.zeros(1, TINY.features, 8, 8)).shape == (1, 3, 32, 32)
