"""Depth, light, albedo and hair against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from analysis_model import synthetic_model

from facesep.analysis.components import Components, Standard
from facesep.analysis.depth import depth_map, head_triangles, vertex_normals
from facesep.analysis.hair import hair_colour, normalised_mask
from facesep.analysis.lighting import AMBIENT, WHITE, fit_light, sh_basis, shading
from facesep.analysis.texture import LIGHT_SHARE, Samples, fill_and_reduce, sample_colours, separate
from facesep.camera import CAMERA_DISTANCE, CENTRE_X, CENTRE_Y, FOCAL, rotation_matrix, to_head


def sphere(rings: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit sphere: vertices and triangles, counter-clockwise from outside."""
    polar = torch.linspace(0.02, math.pi - 0.02, rings)
    round_ = torch.arange(2 * rings) * (math.pi / rings)
    p, a = torch.meshgrid(polar, round_, indexing="ij")
    points = torch.stack((p.sin() * a.sin(), p.cos(), p.sin() * a.cos()), -1).reshape(-1, 3)
    count = 2 * rings
    i, j = torch.meshgrid(torch.arange(rings - 1), torch.arange(count), indexing="ij")
    k = (j + 1) % count
    corners = [i * count + j, (i + 1) * count + j, (i + 1) * count + k, i * count + k]
    quad = torch.stack(corners, -1).reshape(-1, 4)
    return points, torch.cat((quad[:, :3], quad[:, [0, 2, 3]]))


def pixel_rays(size: int) -> torch.Tensor:
    """Camera rays (x right, y up, z of the view 1) through pixel centres: ``[size, size, 2]``."""
    at = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid((CENTRE_Y - at) / FOCAL, (at - CENTRE_X) / FOCAL, indexing="ij")
    return torch.stack((x, y), -1)


# -- depth ------------------------------------------------------------------------------------------


def test_depth_of_a_sphere():
    points, triangles = sphere(120)
    radius, centre = 0.8, torch.tensor([0.1, 0.2, -0.3])
    size = 48
    seen = depth_map(points[None] * radius, triangles, torch.tensor([[0.3, 0.5, -0.2]]), centre[None], size)[
        0
    ]
    # |d k - c|^2 = r^2 with the point d (x, y, -1) before the camera at (0, 0, 10)
    ray = torch.cat((pixel_rays(size), -torch.ones(size, size, 1)), -1)
    middle = centre - torch.tensor([0.0, 0.0, CAMERA_DISTANCE])
    b, a = (ray * middle).sum(-1), ray.square().sum(-1)
    under = b.square() - a * (middle.square().sum() - radius**2)
    expected = (b - under.clamp_min(0).sqrt()) / a
    edge = under.abs() < 0.02 * b.abs()
    assert torch.equal(seen.isnan()[~edge], (under < 0)[~edge])
    both = ~seen.isnan() & (under > 0)
    assert both.sum() > 300
    assert (seen - expected)[both & ~edge].abs().max() < 5e-3


def test_depth_of_a_slanted_plane_is_exact():
    points = torch.tensor([[-3.0, -3, 0], [3, -3, 0], [3, 3, 0], [-3, 3, 0]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])
    rotation, translation = torch.tensor([[0.4, -0.5, 0.1]]), torch.tensor([[0.0, 0.1, 0.3]])
    seen = depth_map(points[None], triangles, rotation, translation, 20)[0]
    normal = rotation_matrix(rotation)[0, :, 2]
    ray = torch.cat((pixel_rays(20), -torch.ones(20, 20, 1)), -1)
    start = torch.tensor([0.0, 0.0, CAMERA_DISTANCE])
    expected = ((translation[0] - start) @ normal) / (ray @ normal)
    assert torch.allclose(seen, expected, atol=1e-4)
    assert depth_map(points[None], triangles.flip(1), rotation, translation, 20).isnan().all()  # its back


def test_depth_takes_the_nearest_surface_and_mirrors():
    points, triangles = sphere(40)
    near = points * 0.3 + torch.tensor([0.2, 0.0, 0.9])
    both = torch.cat((points, near))
    faces = torch.cat((triangles, triangles + len(points)))
    zero = torch.zeros(1, 3)
    far, joined = (
        depth_map(points[None], triangles, zero, zero, 40),
        depth_map(both[None], faces, zero, zero, 40),
    )
    alone = depth_map(near[None], triangles, zero, zero, 40)
    assert torch.equal(joined.nan_to_num(99), torch.minimum(far.nan_to_num(99), alone.nan_to_num(99)))
    mirrored = both * torch.tensor([-1.0, 1, 1])
    again = depth_map(mirrored[None], faces.flip(1), zero, zero, 40)
    assert torch.allclose(again.flip(-1).nan_to_num(99), joined.nan_to_num(99), atol=1e-4)


def test_neck_is_not_part_of_the_head():
    model = synthetic_model()
    used = model.neutral[head_triangles(model).unique()]
    assert len(used) > 1000
    assert used[:, 1].min() > -1.2 and used[:, 1].min() > model.neutral[:, 1].min()


def test_vertex_normals_of_a_sphere_point_outward():
    points, triangles = sphere(40)
    normal = vertex_normals(points[None], triangles)[0]
    inner = points[:, 1].abs() < 0.99
    assert (normal * points).sum(-1)[inner].min() > 0.999


# -- light ------------------------------------------------------------------------------------------


def test_sh_basis_is_orthogonal_with_the_known_norms():
    """Real spherical harmonics, each degree scaled by the factor of a clamped cosine (Ramamoorthi)."""
    g = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(200_000, 3, generator=g).double(), dim=-1)
    basis = sh_basis(normal)
    gram = basis.T @ basis / len(normal) * 4 * math.pi
    a = [math.pi] + [2 * math.pi / math.sqrt(3)] * 3 + [2 * math.pi / math.sqrt(8)] * 5
    # Deep3D's constants leave the bands of degree 2 a factor sqrt(12 / 5 * 5 / 12) of 1 apart.
    expected = torch.tensor(a).double().square()
    ratio = gram.diagonal() / expected
    assert torch.allclose(ratio[:4], torch.ones(4).double(), atol=0.03)
    assert torch.allclose(ratio[4:], ratio[4].expand(5), rtol=0.05)
    off = gram - torch.diag(gram.diagonal())
    assert off.abs().max() < 0.03 * gram.max()


def test_zero_gamma_is_plain_white_light():
    normal = torch.nn.functional.normalize(torch.randn(1, 50, 3), dim=-1)
    shade = shading(normal, torch.zeros(1, 27))
    assert torch.allclose(shade, torch.full_like(shade, AMBIENT * math.sqrt(math.pi) / 2), atol=1e-5)
    white = torch.zeros(1, 3, 9)
    white[..., 0] = WHITE
    assert torch.allclose(shading(normal, white.flatten(1)), torch.ones_like(shade), atol=1e-5)


def light(count: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    gamma = 0.06 * torch.randn(count, 3, 9, generator=g)
    gamma[..., 0] += WHITE
    return gamma.flatten(1)


def test_light_on_a_sphere_is_recovered():
    points, _ = sphere(24)
    normal = points[None].expand(6, -1, -1)
    albedo = 0.3 + 0.4 * torch.rand(len(points), 3, generator=torch.Generator().manual_seed(1))
    gamma = light(6)
    colour = shading(normal, gamma) * albedo
    found = fit_light(colour, normal, albedo, torch.ones(6, len(points)), ridge=1e-6)
    assert (found - gamma).abs().max() < 2e-3
    strong = fit_light(colour, normal, albedo, torch.ones(6, len(points)), ridge=1e3)
    assert strong.unflatten(1, (3, 9))[..., 1:].abs().max() < 1e-3


def test_light_is_robust_and_ignores_what_is_not_visible():
    points, _ = sphere(24)
    g = torch.Generator().manual_seed(2)
    normal, gamma = points[None].expand(4, -1, -1), light(4, seed=3)
    albedo = torch.full((len(points), 3), 0.5)
    colour = shading(normal, gamma) * albedo
    spoiled = colour.clone()
    spots = torch.rand(4, len(points), generator=g) < 0.1
    spoiled[spots] += 0.6
    weight = torch.ones(4, len(points))
    weight[:, ::7] = 0
    spoiled[:, ::7] = 5.0
    found = fit_light(spoiled, normal, albedo, weight, ridge=1e-6, rounds=8)
    plain = fit_light(spoiled, normal, albedo, weight, ridge=1e-6, rounds=1)
    assert (found - gamma).abs().mean() < 0.25 * (plain - gamma).abs().mean()
    assert (found - gamma).abs().max() < 0.05


def half_sphere_samples(gamma: torch.Tensor, albedo: torch.Tensor) -> Samples:
    """Photos and mirror images of symmetric faces whose normals fill half a sphere."""
    x = torch.linspace(-0.9, 0.9, 15)
    y, x = torch.meshgrid(x, x, indexing="ij")
    keep = x.square() + y.square() < 0.85
    x, y = x[keep], y[keep]
    normal = torch.stack((x, y, (1 - x * x - y * y).sqrt()), -1)
    twin = torch.cdist(normal, normal * torch.tensor([-1.0, 1, 1])).argmin(1)
    albedo = (albedo[:, : len(x)] + albedo[:, : len(x)][:, twin]) / 2
    colour = shading(normal.expand(len(gamma), -1, -1), gamma) * albedo
    colour = torch.cat((colour, colour[:, twin]))
    samples = Samples(colour, normal.expand(len(colour), -1, -1), torch.ones(len(colour), len(x)))
    return samples, albedo


def imbalance(normal: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """How much more light a point gets than its mirror image, relative to both."""
    here, there = shading(normal, gamma), shading(normal * torch.tensor([-1.0, 1, 1]), gamma)
    return (here - there) / (here + there)


def test_separation_explains_colours_and_keeps_skin_symmetric():
    g = torch.Generator().manual_seed(4)
    base = torch.tensor([0.6, 0.45, 0.4]) * (1 + 0.1 * torch.randn(1, 225, 1, generator=g))
    tone = (0.25 * torch.randn(40, 1, 1, generator=g)).exp()
    gamma = light(40, seed=5)
    samples, albedo = half_sphere_samples(gamma, base * tone)
    parts = separate(samples, torch.ones(40, dtype=torch.bool))
    again = shading(samples.normal, parts.gamma) * parts.albedo.repeat(2, 1, 1)
    assert (again - samples.colour).abs().mean() < 0.02
    # Light from the side, which symmetric skin cannot explain, is found.
    truth, found = (imbalance(samples.normal[:40], g) for g in (gamma, parts.gamma[:40]))
    assert truth.abs().mean() > 0.04
    assert (found - truth).abs().mean() < 0.15 * truth.abs().mean()
    # Brightness is shared out between light and skin as promised.
    level = tone[:, 0, 0].log()
    skin = parts.albedo.mean((1, 2)).log()
    slope = ((level - level.mean()) * (skin - skin.mean())).sum() / (level - level.mean()).square().sum()
    assert slope == pytest.approx(1 - LIGHT_SHARE, abs=0.12)


def test_colours_are_read_where_the_vertices_project():
    """A picture whose colours are its own coordinates, read through the inverse of the camera."""
    size = 64
    at = (torch.arange(size) + 0.5) / size
    v, u = torch.meshgrid(at, at, indexing="ij")
    image = torch.stack((u, v, torch.zeros_like(u)))[None]
    points, triangles = sphere(30)
    points = points * 0.8
    rotation, translation = torch.tensor([[0.1, 0.3, -0.2]]), torch.tensor([[0.05, 0.1, 0.2]])
    face = torch.ones(1, 1, size, size)
    face[..., : size // 2] = 0
    chosen = torch.arange(0, len(points), 7)
    read = sample_colours(image, face, points[None], triangles, chosen, rotation, translation)
    axes, origin = to_head(rotation, translation)
    camera = (points[chosen] - origin) @ axes[0]  # x right, y down, z forward
    expected = torch.stack(
        (CENTRE_X + FOCAL * camera[:, 0] / camera[:, 2], CENTRE_Y + FOCAL * camera[:, 1] / camera[:, 2]), -1
    )
    visible = read.weight[0] > 0
    assert 20 < visible.sum() < len(chosen) / 2
    assert (read.colour[0, visible, :2] - expected[visible]).abs().max() < 1e-4
    assert expected[visible, 0].min() > 0.5 - 1 / size  # the other half is no face
    facing = (points[chosen] / 0.8 * torch.nn.functional.normalize(origin - points[chosen], dim=-1)).sum(-1)
    assert (facing[visible] - read.weight[0, visible]).abs().max() < 0.02


# -- hair -------------------------------------------------------------------------------------------


def blob(rotation: torch.Tensor, translation: torch.Tensor, size: int = 192) -> torch.Tensor:
    """A lopsided patch in the head's own plane, seen by the canonical camera."""
    ray = pixel_rays(size)
    depth = CAMERA_DISTANCE - translation[2]
    x, y = ray[..., 0] * depth - translation[0], ray[..., 1] * depth - translation[1]
    cos, sin = rotation[2].cos(), rotation[2].sin()
    x, y = cos * x + sin * y, cos * y - sin * x
    inside = ((x / 0.7) ** 2 + ((y - 0.5) / 0.5) ** 2 < 1) | (
        ((x - 0.6) / 0.2) ** 2 + ((y - 0.1) / 0.5) ** 2 < 1
    )
    return inside.float()[None, None]


def test_hair_mask_does_not_depend_on_shift_scale_and_roll():
    still, moved = torch.zeros(2, 3), torch.zeros(2, 3)
    base = normalised_mask(blob(still[0], still[0]), still[:1], still[:1])
    assert 0.05 < base.mean() < 0.5
    g = torch.Generator().manual_seed(0)
    for _ in range(5):
        rotation = torch.zeros(1, 3)
        rotation[0, 2] = 0.5 * torch.randn((), generator=g)
        moved = torch.randn(1, 3, generator=g) * torch.tensor([0.1, 0.1, 0.8])
        other = normalised_mask(blob(rotation[0], moved[0]), rotation, moved)
        assert (other - base).abs().mean() < 0.01
        wrong = normalised_mask(blob(rotation[0], moved[0]), -rotation, moved)
        assert (wrong - base).abs().mean() > 2 * (other - base).abs().mean()


def test_hair_colour():
    image = torch.zeros(2, 3, 20, 20)
    mask = torch.zeros(2, 1, 20, 20)
    mask[0, 0, :10] = 1
    image[0, :, :5], image[0, :, 5:10] = 0.2, 0.6
    image[0, :, 10:] = 1.0
    mask[1, 0, :2, :2] = 1
    colour, present = hair_colour(image, mask)
    assert present.tolist() == [True, False]
    assert torch.allclose(colour[0], torch.tensor([0.4, 0.4, 0.4, 0.2]), atol=1e-5)
    assert (colour[1] == 0).all()


# -- components -------------------------------------------------------------------------------------


def test_components_recover_a_subspace_and_have_unit_variance():
    g = torch.Generator().manual_seed(1)
    values = torch.randn(300, 5, generator=g) * torch.tensor([5.0, 4, 3, 2, 1])
    values = values @ torch.randn(5, 80, generator=g) + 7
    found = Components.of(values, 5)
    codes = found.apply(values)
    assert torch.allclose(found.undo(codes), values, atol=1e-2)
    assert torch.allclose(codes.std(0), torch.ones(5), atol=1e-3) and codes.mean(0).abs().max() < 1e-4
    assert torch.allclose(found.basis @ found.basis.T, torch.eye(5), atol=1e-4)
    assert torch.equal(Components.of(values, 5).basis, found.basis)


def test_gaps_are_filled_from_the_components():
    g = torch.Generator().manual_seed(2)
    truth = (torch.randn(200, 3, generator=g) @ torch.randn(3, 90, generator=g)).unflatten(1, (30, 3))
    weight = (torch.rand(200, 30, generator=g) > 0.1).float()
    albedo = torch.where(weight[..., None] > 0, truth, 0.0)
    start = (albedo - truth).abs().mean()
    fill_and_reduce(albedo, weight, torch.ones(200, dtype=torch.bool), 3, rounds=30)
    assert torch.equal(albedo[weight > 0], truth[weight > 0])
    assert (albedo - truth).abs().mean() < start / 5


def test_standard_does_not_blow_up_noise():
    values = torch.tensor([[0.0, 1.0], [1e-9, 3.0]])
    found = Standard.of(values, floor=0.05)
    assert found.apply(values).abs().max() < 1
    assert torch.allclose(found.undo(found.apply(values)), values)
