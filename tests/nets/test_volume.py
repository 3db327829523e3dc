"""Rays, samples and the volume integral against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from facesep.camera import rays
from facesep.config import DecoderConfig
from facesep.nets.volume import composite_weights, ellipsoid_interval, jitter_edges, sample_edges

SIZES = {"image_size": 32, "ray_size": 8, "width": 16, "layers": 2, "skip": 1, "features": 16}


def test_a_uniform_slab_is_as_opaque_as_beer_and_lambert_say():
    density = torch.full((1, 1, 50), 0.7, dtype=torch.float64)
    lengths = torch.full((1, 1, 50), 0.04, dtype=torch.float64)
    weights = composite_weights(density, lengths)
    assert weights.sum() == pytest.approx(1 - math.exp(-0.7 * 2.0), abs=1e-12)


def test_weights_are_those_of_the_product_form():
    generator = torch.Generator().manual_seed(0)
    density = torch.rand(2, 3, 9, generator=generator, dtype=torch.float64) * 5
    lengths = torch.rand(2, 3, 9, generator=generator, dtype=torch.float64)
    alpha = 1 - torch.exp(-density * lengths)
    through = torch.cumprod(torch.cat((torch.ones(2, 3, 1), 1 - alpha), -1), -1)[..., :-1]
    torch.testing.assert_close(composite_weights(density, lengths), alpha * through)


def test_an_opaque_sample_hides_everything_behind_it():
    density = torch.tensor([[[0.0, 1e6, 3.0, 3.0]]])
    weights = composite_weights(density, torch.full((1, 1, 4), 0.1))
    torch.testing.assert_close(weights, torch.tensor([[[0.0, 1.0, 0.0, 0.0]]]))


def test_rays_enter_and_leave_a_sphere_where_geometry_says():
    origins = torch.tensor([[[0.0, 0.0, 10.0]]], dtype=torch.float64)
    offset = torch.linspace(0, 0.9, 7, dtype=torch.float64)
    # Rays aimed at points of the plane z = 0; the closest approach to the centre is d = |o x v|.
    target = torch.stack((offset, torch.zeros_like(offset), torch.zeros_like(offset)), -1)
    directions = torch.nn.functional.normalize(target - origins[0], dim=-1)[None]
    near, far = ellipsoid_interval(origins, directions, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    distance = torch.linalg.cross(origins.expand_as(directions), directions).norm(dim=-1)
    along = -(origins * directions).sum(-1)
    half = (1 - distance**2).sqrt()
    torch.testing.assert_close(near, along - half)
    torch.testing.assert_close(far, along + half)


def test_a_ray_that_misses_has_an_empty_interval():
    near, far = ellipsoid_interval(
        torch.tensor([[[0.0, 0.0, 10.0]]]),
        torch.tensor([[[1.0, 0.0, 0.0]]]),
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
    )
    assert torch.equal(near, far)


def test_entry_and_exit_lie_on_the_ellipsoid():
    config = DecoderConfig(sampling="volume", samples=4, **SIZES)
    origins, directions = rays(torch.tensor([[0.2, 0.5, -0.1]]), torch.tensor([[0.1, 0.0, 0.2]]), 8)
    edges, stretch = sample_edges(config, origins, directions)
    hit = edges[..., -1] > edges[..., 0]
    assert 20 < int(hit.sum()) <= 64
    for end in (edges[..., 0], edges[..., -1]):
        points = origins + directions * end[..., None]
        scaled = (points - torch.tensor(config.volume_centre)) / torch.tensor(config.volume_radii)
        torch.testing.assert_close(scaled.norm(dim=-1)[hit], torch.ones(int(hit.sum())), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampling", ["depth", "volume", "planes"])
def test_edges_ascend_and_jitter_keeps_them_in_order(sampling):
    near, far = (2.5, -3.5) if sampling == "planes" else (8.0, 12.0)
    config = DecoderConfig(sampling=sampling, samples=16, near=near, far=far, **SIZES)
    origins, directions = rays(torch.zeros(2, 3), torch.zeros(2, 3), 8)
    edges, _ = sample_edges(config, origins, directions)
    assert edges.shape == (2, 64, 17)
    moved = jitter_edges(edges, torch.Generator().manual_seed(3))
    for values in (edges, moved):
        assert (values.diff(dim=-1) >= -1e-5).all()
    middle = (edges[..., 1:] + edges[..., :-1]) / 2
    assert (moved[..., 1:] >= middle - 1e-5).all() and (moved[..., :-1] <= middle + 1e-5).all()


def test_depth_sampling_spans_the_given_distances():
    config = DecoderConfig(sampling="depth", samples=8, near=8.0, far=12.0, **SIZES)
    edges, stretch = sample_edges(config, *rays(torch.zeros(1, 3), torch.zeros(1, 3), 8))
    torch.testing.assert_close(edges[0, 5], torch.linspace(8.0, 12.0, 9))
    assert torch.equal(stretch, torch.ones_like(stretch))


def test_planes_lie_at_fixed_heights():
    config = DecoderConfig(sampling="planes", samples=8, near=2.5, far=-3.5, **SIZES)
    origins, directions = rays(torch.zeros(1, 3), torch.zeros(1, 3), 8)
    edges, stretch = sample_edges(config, origins, directions)
    heights = (origins[:, :, None] + directions[:, :, None] * (edges * stretch)[..., None])[..., 2]
    torch.testing.assert_close(heights, torch.linspace(2.5, -3.5, 9).expand_as(heights), atol=1e-4, rtol=0)
