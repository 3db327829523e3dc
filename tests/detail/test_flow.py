"""Places in a photo: closed forms of planes, spheres and circles."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from facesep.camera import CAMERA_DISTANCE, CENTRE_X, CENTRE_Y, FOCAL, project, to_head
from facesep.camera import rays as camera_rays
from facesep.codes import CODE_SIZES, Codes
from facesep.detail.flow import (
    beyond,
    blur,
    continued,
    drop,
    facing,
    lift,
    outline,
    pixel_grid,
    resize,
    sample,
    surface,
    visible,
)
from facesep.nets.decoder import Rendering

N = 64


def codes(*, yaw: float = 0.0, pitch: float = 0.0, translation=(0.0, 0.0, 0.0)) -> Codes:
    values = {name: torch.zeros(1, size) for name, size in CODE_SIZES.items()}
    values["rotation"] = torch.tensor([[math.radians(pitch), math.radians(yaw), 0.0]])
    values["translation"] = torch.tensor([translation])
    return Codes(**values)


def sphere_depth(pose: Codes, radius: float = 0.9) -> torch.Tensor:
    """Planar depth of a sphere about the head's origin; NaN beside it."""
    origins, directions = camera_rays(pose.rotation, pose.translation, N)
    b = (origins * directions).sum(-1)
    root = b * b - (origins.square().sum(-1) - radius**2)
    along = torch.where(root > 0, -b - root.clamp_min(0).sqrt(), float("nan"))
    axes, _ = to_head(pose.rotation, pose.translation)
    forward = (directions * axes[:, None, :, 2]).sum(-1)  # cosine to the optical axis
    return (along * forward).view(1, 1, N, N)


def test_lifting_and_dropping_are_inverse():
    pose = codes(yaw=25, pitch=-10, translation=(0.1, -0.2, 0.3))
    depth = 9 + torch.rand(1, 1, N, N, generator=torch.Generator().manual_seed(0))
    places, again = drop(lift(depth, pose), pose)
    torch.testing.assert_close(places, pixel_grid(N, depth)[None], atol=1e-5, rtol=0)
    torch.testing.assert_close(again, depth, atol=1e-5, rtol=0)


def test_dropping_is_the_projection_of_the_camera():
    pose = codes(yaw=-40, pitch=12, translation=(0.2, 0.1, -0.3))
    points = torch.randn(1, 3, N, N, generator=torch.Generator().manual_seed(1)) * 0.5
    places, depth = drop(points, pose)
    wanted = project(points.flatten(2).transpose(1, 2), pose.rotation, pose.translation, 1)
    torch.testing.assert_close(places.flatten(2).transpose(1, 2), wanted[..., :2])
    torch.testing.assert_close(depth.flatten(2).transpose(1, 2)[..., 0], wanted[..., 2])


@pytest.mark.parametrize("yaw", [-35, 20, 50])
def test_a_turned_sphere_moves_by_the_known_angle(yaw):
    """A point of the sphere at longitude a in the result is at longitude a - yaw in the photo."""
    turned, shown = codes(yaw=yaw), codes()
    depth = sphere_depth(turned)
    points = lift(depth, turned)
    row = points[0, :, N // 2 + 5]
    known = torch.isfinite(row[0])
    world_x = (pixel_grid(N, depth)[0, N // 2 + 5] - CENTRE_X) / FOCAL * depth[0, 0, N // 2 + 5]
    world_z = CAMERA_DISTANCE - depth[0, 0, N // 2 + 5]
    result, photo = torch.atan2(world_x, world_z), torch.atan2(row[0], row[2])
    torch.testing.assert_close((result - photo)[known], torch.full_like(photo[known], math.radians(yaw)))
    places, _ = drop(points, shown)
    x = CENTRE_X + FOCAL * row[0] / (CAMERA_DISTANCE - row[2])
    torch.testing.assert_close(places[0, 0, N // 2 + 5][known], x[known])


def test_what_the_photo_does_not_show_has_no_confidence():
    turned, shown = codes(yaw=50), codes()
    depth = sphere_depth(turned)
    whole = F.avg_pool2d(torch.isfinite(depth).float(), 3, 1, 1)[0, 0] > 0.999
    points = lift(depth.nan_to_num(CAMERA_DISTANCE), turned)
    places, behind = drop(points, shown)
    front = sphere_depth(shown).nan_to_num(CAMERA_DISTANCE)
    sure = (visible(behind, sample(front, places)) * facing(places))[0, 0]
    inside = whole
    facing_photo = points[0, 2] > 0.35  # well in front of the sphere's rim as the photo sees it
    hidden = points[0, 2] < -0.1
    assert sure[inside & facing_photo].mean() > 0.9
    assert sure[inside & hidden].max() < 0.2
    assert (inside & hidden).sum() > 50


def test_a_plane_that_does_not_move_is_seen_squarely():
    places = pixel_grid(N, torch.zeros(1))[None]
    torch.testing.assert_close(facing(places), torch.ones(1, 1, N, N))
    assert facing(places.flip(3)).max() == 0  # mirrored: the surface is seen from behind


def circle(radius: float, at=(CENTRE_X, CENTRE_Y)) -> torch.Tensor:
    grid = pixel_grid(N, torch.zeros(1)) - torch.tensor(at).view(2, 1, 1)
    return ((radius - grid.norm(dim=0)) * N + 0.5).clamp(0, 1)[None, None]


def test_outlines_of_circles_have_their_radius():
    centre = torch.tensor([CENTRE_X, CENTRE_Y]).view(1, 2, 1, 1)
    found = outline(circle(0.3), centre)
    torch.testing.assert_close(found.radius, torch.full_like(found.radius, 0.3), atol=0.01, rtol=0)


def test_what_lies_beyond_an_outline_keeps_its_distance_from_it():
    centre = torch.tensor([CENTRE_X, CENTRE_Y]).view(1, 2, 1, 1)
    places = pixel_grid(N, centre)[None]
    small, large = outline(circle(0.25), centre), outline(circle(0.33), centre)
    moved = beyond(places, small, large)
    before, after = (places - centre).norm(dim=1), (moved - centre).norm(dim=1)
    outside = before > 0.25
    torch.testing.assert_close(
        (after - before)[outside], torch.full_like(after[outside], 0.08), atol=0.012, rtol=0
    )
    torch.testing.assert_close(beyond(places, small, small), places)


def test_continued_images_keep_what_is_known_and_stay_within_its_range():
    image = torch.rand(1, 3, N, N, generator=torch.Generator().manual_seed(0))
    weight = (circle(0.3) > 0.5).float()
    found = continued(image, weight)
    torch.testing.assert_close(found * weight, image * weight)
    assert found.min() >= image.min() - 1e-5 and found.max() <= image.max() + 1e-5
    constant = continued(torch.full((1, 1, N, N), 0.4), weight)
    torch.testing.assert_close(constant, torch.full_like(constant, 0.4))


def test_the_surface_of_a_rendering_is_planar_depth():
    pose = codes()
    depth = torch.full((1, 1, N, N), 9.5)
    x, y = pixel_grid(N, depth)
    slant = (1 + ((x - CENTRE_X) / FOCAL) ** 2 + ((y - CENTRE_Y) / FOCAL) ** 2).sqrt()
    opacity = circle(0.3)
    found = surface(Rendering(torch.zeros(1, 3, 8, 8), opacity, depth * slant))
    torch.testing.assert_close(found.depth, depth, atol=1e-4, rtol=0)
    torch.testing.assert_close(lift(found.depth, pose)[:, 2], torch.full((1, N, N), 0.5), atol=1e-4, rtol=0)


def test_blur_and_resize_keep_constants_and_means():
    image = torch.full((2, 3, 32, 32), 0.7)
    torch.testing.assert_close(blur(image, 2.5), image)
    torch.testing.assert_close(resize(image, 48), torch.full((2, 3, 48, 48), 0.7))
    noise = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        F.avg_pool2d(resize(noise, 32), 32), F.avg_pool2d(noise, 64), atol=0.01, rtol=0
    )


def test_an_outline_moves_where_its_neighbours_do():
    """Hair that touches a chin in one view alone, a step in few directions, is no movement."""
    centre = torch.tensor([CENTRE_X, CENTRE_Y]).view(1, 2, 1, 1)
    places = pixel_grid(N, centre)[None]
    small = outline(circle(0.25), centre)
    for step in (0.15, -0.1):
        touched = small._replace(radius=small.radius.clone())
        touched.radius[..., 40:48] += step
        torch.testing.assert_close(beyond(places, small, touched), places)
        touched.radius[..., 30:60] = small.radius[..., 30:60] + step
        at = beyond(places, small, touched) - centre
        assert float((at.norm(dim=1) - (places - centre).norm(dim=1)).abs().max()) > 0.9 * abs(step)
