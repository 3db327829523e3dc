"""Warped images, points and poses stay together."""

from __future__ import annotations

import torch

from facesep.camera import TEMPLATE_5, project
from facesep.codes import CODE_LENGTH, Codes
from facesep.training.augment import random_similarity, warp, warp_points, warp_pose

POINTS = torch.tensor(TEMPLATE_5)


def posed(rotation, translation) -> Codes:
    vector = torch.zeros(len(rotation), CODE_LENGTH)
    return Codes.from_vector(vector).replace(rotation=rotation, translation=translation)


def project_points(codes: Codes) -> torch.Tensor:
    return project(POINTS, codes.rotation, codes.translation, 1.0)[..., :2]


def test_a_turn_is_exactly_a_roll_of_the_head():
    codes = posed(torch.tensor([[0.1, -0.3, 0.2]]), torch.tensor([[0.1, -0.2, 0.3]]))
    similarity = torch.tensor([[1.0, 0.35, 0.0, 0.0]])
    moved = project_points(warp_pose(codes, similarity))
    torch.testing.assert_close(moved, warp_points(project_points(codes), similarity), atol=1e-6, rtol=0)


def test_scale_and_shift_land_on_the_warped_points():
    generator = torch.Generator().manual_seed(0)
    similarity = random_similarity(64, 0.05, 0.1, 0.03, generator)
    codes = posed(
        torch.randn(64, 3, generator=generator) * 0.2, torch.randn(64, 3, generator=generator) * 0.1
    )
    moved = project_points(warp_pose(codes, similarity))
    wanted = warp_points(project_points(codes), similarity)
    # Exact at the depth of the head's origin, a few thousandths of the image off at the nose tip.
    assert (moved - wanted).abs().max() < 4e-3


def test_the_image_moves_like_its_points():
    size = 101
    image = torch.zeros(1, 1, size, size)
    image[..., 40, 60] = 1
    point = torch.tensor([[[60.5 / size, 40.5 / size]]])
    similarity = torch.tensor([[1.05, 0.3, 0.02, -0.03]])
    moved = warp(image, similarity, size, fill=0.0)[0, 0]
    total = moved.sum()
    grid = (torch.arange(size) + 0.5) / size
    centroid = torch.stack(((moved.sum(0) * grid).sum(), (moved.sum(1) * grid).sum())) / total
    torch.testing.assert_close(centroid, warp_points(point, similarity)[0, 0], atol=2e-3, rtol=0)


def test_the_identity_changes_nothing():
    image = torch.rand(2, 3, 16, 16)
    still = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(2, 4)
    torch.testing.assert_close(warp(image, still, 16), image, atol=1e-5, rtol=0)
