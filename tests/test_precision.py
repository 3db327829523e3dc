"""Places and poses under bfloat16 autocast, which rounds matrix products to eight bits."""

from __future__ import annotations

import numpy as np
import torch

from facesep.camera import project, rays, rotation_matrix, slerp_rotation, to_head
from facesep.codes import CODE_LENGTH, Codes
from facesep.demo.examples import FOLDER
from facesep.faces import align
from facesep.images import load_image
from facesep.nets.crops import arcface_crop, projected_points, similarity
from facesep.nets.official.mobilefacenet import align as aligned_by_points
from facesep.precision import full_precision
from facesep.training.augment import random_similarity, warp, warp_pose


def places() -> list[torch.Tensor]:
    """Everything that says where something is."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.tensor([[0.1, 0.5, -0.1], [0.0, -0.3, 0.2]])
    translation = torch.tensor([[0.1, 0.2, 0.3], [-0.2, 0.1, -0.4]])
    codes = Codes.from_vector(torch.zeros(2, CODE_LENGTH)).replace(rotation=rotation, translation=translation)
    image = torch.rand(2, 3, 64, 64, generator=generator)
    points = projected_points(rotation, translation, 64.0)
    moves = random_similarity(2, 0.1, 0.1, 0.1, generator)
    return [
        *rays(rotation, translation, 8),
        *to_head(rotation, translation),
        project(torch.rand(9, 3, generator=generator), rotation, translation, 128.0),
        slerp_rotation(rotation_matrix(rotation), rotation_matrix(translation), 0.3),
        points,
        similarity(points, points.flip(0)),
        arcface_crop(image, points),
        aligned_by_points(image, points),
        warp(image, moves, 32),
        warp_pose(codes, moves).vector(),
    ]


def test_autocast_moves_nothing():
    wanted = places()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = places()
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b)


def test_faces_are_found_where_they_are():
    photo = load_image(FOLDER / "london_016.jpg")
    wanted = align(photo)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = align(photo)
    assert np.array_equal(found.points, wanted.points) and found.image == wanted.image


def test_autocast_goes_on_around_it():
    a = torch.rand(3, 3)
    exact = full_precision(torch.matmul)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert exact(a, other=a).dtype == exact(input=a, other=a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16
    assert torch.equal(exact(a, a), a @ a)


def test_tensors_without_numbers_have_no_autocast():
    origins, directions = rays(torch.zeros(2, 3, device="meta"), torch.zeros(2, 3, device="meta"), 4)
    assert origins.shape == (2, 1, 3) and directions.shape == (2, 16, 3)
