"""Turned heads against the camera, and light that turns along, against the shading of turned normals."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from facesep.analysis.lighting import shading
from facesep.camera import CAMERA_DISTANCE, CENTRE_X, CENTRE_Y, FOCAL, project, rotation_matrix
from facesep.codes import CODE_LENGTH, Codes
from facesep.training.augment import warp_pose
from facesep.training.views import (
    PITCH,
    YAW,
    must_be_empty,
    random_rotation,
    turn,
    turn_light,
    where_pixels_go,
)


def posed(count: int = 2, **parts: torch.Tensor) -> Codes:
    codes = Codes.from_vector(torch.zeros(count, CODE_LENGTH))
    return codes.replace(**parts) if parts else codes


def ball(codes: Codes, size: int, radius: float = 0.8) -> torch.Tensor:
    """Planar depth of a ball around the origin of each head."""
    cell = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid((CENTRE_Y - cell) / FOCAL, (cell - CENTRE_X) / FOCAL, indexing="ij")
    ray = torch.stack((x, y, -torch.ones_like(x)), -1)
    away = torch.tensor([0.0, 0.0, CAMERA_DISTANCE]) - codes.translation[:, None, None]
    a, b = ray.square().sum(-1), (ray * away).sum(-1)
    root = b * b - a * (away.square().sum(-1) - radius**2)
    return torch.where(root > 0, (-b - root.clamp_min(0).sqrt()) / a, torch.nan)[:, None]


def test_pixels_of_a_ball_go_where_the_camera_sees_its_points():
    size = 64
    codes = posed(
        rotation=torch.tensor([[0.1, 0.2, -0.1], [0.0, -0.3, 0.2]]),
        translation=torch.tensor([[0.1, 0.2, 0.3], [-0.2, 0.1, -0.4]]),
    )
    rotation = torch.tensor([[0.0, -0.4, 0.1], [0.1, 0.3, 0.2]])
    grid, visible, known = where_pixels_go(ball(codes, size), codes, rotation, size)
    assert visible.shape == known.shape == (2, 1, size, size) and grid.shape == (2, size, size, 2)
    generator = torch.Generator().manual_seed(0)
    points = 0.8 * F.normalize(torch.randn(400, 3, generator=generator), dim=-1)
    before = project(points, codes.rotation, codes.translation, 1.0)
    after = project(points, rotation, codes.translation, 1.0)
    found = F.grid_sample(grid.permute(0, 3, 1, 2), before[:, :, None, :2] * 2 - 1, align_corners=False)
    seen = F.grid_sample(visible, before[:, :, None, :2] * 2 - 1, align_corners=False)[:, 0, :, 0] == 1
    front = [
        (points @ rotation_matrix(turned).transpose(1, 2))[..., 2] > 0.3  # seen from the front side
        for turned in (codes.rotation, rotation)
    ]
    both = seen & front[0] & front[1]
    assert both.sum() > 100
    error = (found[..., 0].transpose(1, 2) - (after[..., :2] * 2 - 1)).abs().amax(-1)
    assert float(error[both].max()) < 0.01


def test_only_what_both_views_show_is_visible():
    """A ball turned by 60 degrees still shows all of one side, and little of the other."""
    size = 64
    codes = posed(1)
    yaw = math.radians(60)
    _, visible, _ = where_pixels_go(ball(codes, size), codes, torch.tensor([[0.0, yaw, 0.0]]), size)
    columns = visible[0, 0].amax(0).nonzero()[:, 0]
    centre = size // 2
    # To the right of this the turned ball is too slanted: sin(acos(.3) - 60 degrees) * .8 dm.
    wanted = centre + math.sin(math.acos(0.3) - yaw) * 0.8 * FOCAL / CAMERA_DISTANCE * size * 1.05
    assert columns.min() < centre - 10 and abs(float(columns.max()) - wanted) < 3  # perspective
    unturned, seen, _ = where_pixels_go(ball(codes, size), codes, codes.rotation, size)
    cell = (torch.arange(size) + 0.5) / size * 2 - 1
    inside = seen[0, 0] > 0
    torch.testing.assert_close(
        unturned[0, ..., 0][inside], cell.expand(size, size)[inside], atol=1e-5, rtol=0
    )
    assert 0.6 < float(inside.sum() / (~ball(codes, size)[0, 0].isnan()).sum()) < 0.95


def test_what_stands_in_front_hides():
    """A board half a decimetre before a wall hides a strip of the wall once the head turns."""
    size = 64
    depth = torch.full((1, 1, size, size), 10.0)
    depth[..., 30:34] = 9.4
    codes = posed(1)
    _, visible, _ = where_pixels_go(depth, codes, torch.tensor([[0.0, 0.6, 0.0]]), size)
    row = visible[0, 0, 40]
    hidden = (row[5:60] == 0).nonzero()[:, 0] + 5
    assert 4 <= len(hidden) <= 20 and hidden.float().mean() > 33  # on the side that turns behind the board
    assert row[8:26].min() == 1


def test_nothing_lies_before_the_profile():
    """A turned ball keeps its outline: beside it, on the side it turns to, is nothing, unless it has hair."""
    size = 64
    codes = posed(3)
    rotation = torch.tensor([[0.0, -0.6, 0.0], [0.0, 0.6, 0.0], [0.0, 0.05, 0.0]])
    depth = ball(codes, size)
    grid, _, known = where_pixels_go(depth, codes, rotation, size)
    empty = must_be_empty(grid, known, known * 0, rotation[:, 1])
    head = ~depth.isnan()
    assert not (empty.bool() & head).any() and float(empty[2].sum()) == 0  # too small a turn
    row = 37  # through the middle of the ball
    first, last = head[0, 0, row].nonzero()[[0, -1], 0].tolist()
    assert empty[0, 0, row, : first - 2].all() and float(empty[0, 0, row, first:].sum()) == 0
    assert empty[1, 0, row, last + 3 :].all() and float(empty[1, 0, row, : last + 1].sum()) == 0
    assert float(empty[:2, :, 0].sum()) == 0  # no head in these rows
    upper = (torch.arange(size) < row)[:, None].float()
    with_hair = must_be_empty(grid, known * (1 - upper), known * upper, rotation[:, 1])
    assert float(with_hair[:2, :, : row - 3].sum()) == 0
    assert torch.equal(with_hair[:2, :, row + 2 :], empty[:2, :, row + 2 :])


def test_without_depth_nothing_is_visible():
    _, visible, _ = where_pixels_go(torch.full((2, 1, 1, 1), torch.nan), posed(), torch.zeros(2, 3), 16)
    assert float(visible.sum()) == 0
    grid, _, known = where_pixels_go(torch.full((2, 1, 1, 1), torch.nan), posed(), torch.ones(2, 3), 16)
    assert float(must_be_empty(grid, known, known, torch.ones(2)).sum()) == 0


def test_light_turns_with_the_head():
    generator = torch.Generator().manual_seed(1)
    gamma = torch.randn(2, 27, generator=generator) * 0.3
    by = rotation_matrix(torch.tensor([[0.2, 0.7, -0.1], [-0.3, -0.5, 0.4]]))
    normals = F.normalize(torch.randn(2, 50, 3, generator=generator), dim=-1)
    before = shading(normals, gamma)
    after = shading(normals @ by.transpose(1, 2), turn_light(gamma, by))
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)
    torch.testing.assert_close(turn_light(gamma * 10, by), turn_light(gamma, by) * 10, atol=1e-4, rtol=1e-4)


def test_turned_codes_keep_everything_but_pose_and_light():
    codes = Codes.from_vector(torch.randn(2, CODE_LENGTH, generator=torch.Generator().manual_seed(2)) * 0.1)
    same = turn(codes, codes.rotation)
    torch.testing.assert_close(same.vector(), codes.vector(), atol=1e-4, rtol=0)
    turned = turn(codes, codes.rotation + 0.5)
    for name in ("shape", "expression", "texture", "hair", "translation"):
        assert torch.equal(getattr(turned, name), getattr(codes, name))
    assert torch.equal(turned.rotation, codes.rotation + 0.5)
    assert (turned.illumination - codes.illumination).abs().max() > 0.01


def test_random_rotations_cover_the_range():
    rotation = torch.tensor([[0.1, 0.2, 0.3]]).expand(2000, 3)
    found = random_rotation(rotation, torch.Generator().manual_seed(0))
    assert (
        found[:, 1].min() < -0.95 * YAW and found[:, 1].max() > 0.95 * YAW and found[:, 1].abs().max() <= YAW
    )
    assert (found[:, 0] - 0.1).abs().max() <= PITCH + 1e-6 and found[:, 0].std() > 0.5 * PITCH
    assert (found[:, 2] == 0.3).all()


def test_bfloat16_products_do_not_blur_places():
    """Under autocast matrix products have eight bits: places would be wrong by half a pixel."""
    codes, rotation = posed(), torch.tensor([[0.0, 0.5, 0.0], [0.1, -0.4, 0.0]])
    depth = ball(codes, 32)
    wanted, _, _ = where_pixels_go(depth, codes, rotation, 32)
    similarity = torch.tensor([[1.1, 0.2, 0.02, -0.01], [0.9, -0.1, 0.0, 0.03]])
    warped = warp_pose(codes.replace(rotation=rotation), similarity)
    light = turn(codes.replace(illumination=torch.ones(2, 27)), rotation).illumination
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(warp_pose(codes.replace(rotation=rotation), similarity).vector(), warped.vector())
        found, _, _ = where_pixels_go(depth, codes, rotation, 32)
        again = turn(codes.replace(illumination=torch.ones(2, 27)), rotation).illumination
    known = ~wanted.isnan()
    assert torch.equal(found[known], wanted[known]) and torch.equal(again, light)
