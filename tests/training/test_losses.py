"""Each loss against hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch

from facesep.camera import project
from facesep.codes import ATTRIBUTES, CODE_LENGTH, Codes
from facesep.training.losses import (
    codes_loss,
    cosine_distance,
    depth_loss,
    edges_loss,
    features_loss,
    features_window,
    hair_loss,
    identity_loss,
    opacity_loss,
    perceptual_loss,
    pixel_loss,
    scaled_distance,
    swap_targets,
    transplants,
)


def test_pixel_loss_is_the_mean_over_the_mask():
    image, target = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    image[0, :, 0, 0], image[0, :, 1, 1] = 0.6, 1.0
    mask = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert float(pixel_loss(image, target, mask)) == pytest.approx(0.3)


def test_edges_loss_compares_differences_of_neighbours():
    image, target = torch.zeros(1, 3, 3, 3), torch.full((1, 3, 3, 3), 0.25)  # a constant offset is free
    image[0, :, 1, 1] = 0.6
    assert float(edges_loss(target, image * 0, torch.ones(1, 1, 3, 3))) == 0
    assert float(edges_loss(image, target, torch.ones(1, 1, 3, 3))) == pytest.approx(4 * 0.6 / 18)
    corner = torch.zeros(1, 1, 3, 3)
    corner[..., 2, 1] = 1  # below the bright pixel: one difference counts
    assert float(edges_loss(image, target, corner)) == pytest.approx(0.6 / 2)


def test_features_are_eyes_and_mouth():
    points = torch.tensor([[[0.35, 0.45], [0.65, 0.45], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]]])  # 0.3 apart
    window = features_window(points, 100)[0, 0]
    assert window[45, 35] > 0.99 and window[44, 64] > 0.99 and window[74, 49] > 0.99
    assert float(window[45, 35 - 8]) == pytest.approx(math.exp(-0.5 * (0.075 / (0.27 * 0.3)) ** 2), abs=0.01)
    assert float(window[75 + 7, 49]) == pytest.approx(math.exp(-0.5), abs=0.01)  # 0.25 of the distance below
    assert window[10].max() < 1e-3 and window[60, 49] < 0.2  # forehead, nose
    image, target, mask = (
        torch.full((1, 3, 100, 100), 0.4),
        torch.full((1, 3, 100, 100), 0.1),
        torch.ones(1, 1, 100, 100),
    )
    assert float(features_loss(image, target, mask, points)) == pytest.approx(0.3, abs=1e-5)
    bald = target.clone()
    bald[..., :20, :] = 1.0
    assert float(features_loss(bald, target, mask, points)) < 1e-3
    mask[..., 60:, :] = 0  # a mouth behind a hand does not count
    mute = target.clone()
    mute[..., 70:80, 40:60] = 1.0
    assert float(features_loss(mute, target, mask, points)) == 0


def test_perceptual_loss_sums_the_means_of_layers():
    a = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 1, 1)]
    b = [torch.full((1, 2, 2, 2), 0.25), torch.full((1, 1, 1, 1), -2.0)]
    assert float(perceptual_loss(a, b)) == pytest.approx(2.25)


def test_identity_loss_is_one_minus_cosine():
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    b = torch.tensor([[0.0, 3.0], [2.0, 2.0]])
    assert float(identity_loss(a, b)) == pytest.approx((1 + 1 - math.sqrt(0.5)) / 2)


def test_cosine_distance_ignores_length_and_survives_zero():
    a = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    b = torch.tensor([[6.0, 8.0], [0.0, 0.0], [-2.0, 0.0]])
    distance = cosine_distance("rotation", a, b)
    torch.testing.assert_close(distance, torch.tensor([0.0, 0.0, 2.0]), atol=1e-6, rtol=0)
    distance.sum().backward()
    assert torch.isfinite(a.grad).all()


def test_scaled_distance_sees_length():
    a, b = torch.full((1, 64), 2.0), torch.full((1, 64), 1.0)
    assert float(scaled_distance("expression", a, b)) == pytest.approx(0.5)
    turn = scaled_distance("rotation", torch.full((1, 3), 0.05), torch.zeros(1, 3))
    assert float(turn) == pytest.approx(0.125)


def test_codes_loss_weighs_attributes():
    generator = torch.Generator().manual_seed(0)
    a = Codes.from_vector(torch.randn(4, CODE_LENGTH, generator=generator))
    b = Codes.from_vector(torch.randn(4, CODE_LENGTH, generator=generator))
    weights = dict.fromkeys(ATTRIBUTES, 0.0) | {"hair": 2.0, "texture": 0.5}
    terms = codes_loss(a, b, weights)
    assert set(terms) == {"hair", "texture"}
    wanted = 2 * (1 - torch.cosine_similarity(a.hair, b.hair)).mean()
    torch.testing.assert_close(terms["hair"], wanted)


def test_swap_targets_exchange_one_attribute_within_pairs():
    codes = Codes.from_vector(torch.arange(4.0)[:, None].expand(4, CODE_LENGTH).contiguous())
    swapped, donors = swap_targets(codes, "hair")
    assert donors.tolist() == [3, 2, 1, 0]
    assert swapped.hair[:, 0].tolist() == [3, 2, 1, 0]
    assert swapped.shape[:, 0].tolist() == [0, 1, 2, 3]


def test_transplants_take_the_face_and_leave_the_head_its_hair():
    codes = Codes.from_vector(torch.arange(3.0)[:, None].expand(3, CODE_LENGTH).contiguous())
    mixed = transplants(codes)
    for name in ("shape", "expression"):
        assert getattr(mixed, name)[:, 0].tolist() == [2, 1, 0]
    for name in ("hair", "illumination", "rotation", "translation"):
        assert getattr(mixed, name)[:, 0].tolist() == [0, 1, 2]
    assert (mixed.texture[:, :-4] == torch.tensor([[2.0], [1], [0]])).all()
    assert (mixed.texture[:, -4:] == torch.tensor([[0.0], [1], [2]])).all()


def test_hair_loss_sees_hair_and_what_is_no_head_but_not_the_face():
    """40 px, so the rim is one pixel: rows 0-9 background, 10-19 hair, 20-39 face."""
    mask, hair = torch.zeros(1, 1, 40, 40), torch.zeros(1, 1, 40, 40)
    mask[..., 10:, :], hair[..., 10:20, :] = 1, 1
    target = torch.zeros(1, 3, 40, 40)
    values = []
    for rows in (slice(20, 40), slice(19, 20), slice(10, 19), slice(0, 10)):
        image = target.clone()
        image[..., rows, :] = 0.5
        values.append([float(one) for one in hair_loss(image, target, mask, hair)])
    assert values == [[0, 0], [0, 0], [0.5, 0], [0, 0.5]]


def test_opacity_loss_averages_the_mask_to_the_rays():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    opacity = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
    assert float(opacity_loss(opacity, mask)) == pytest.approx(0.25)


def test_depth_loss_compares_planar_depth_where_it_is_known():
    """A plane of constant z has constant planar depth; the distance along rays differs."""
    count = 4
    cell = (torch.arange(count) + 0.5) / count
    y, x = torch.meshgrid((cell - 0.5 - 0.25 / 2.8) * 0.28, (cell - 0.5) * 0.28, indexing="ij")
    distance = (9.5 * (1 + x * x + y * y).sqrt())[None, None]
    opacity = torch.ones(1, 1, count, count)
    depth = torch.full((1, 1, 8, 8), 9.3)
    depth[..., :4, :] = torch.nan
    assert float(depth_loss(distance, opacity, depth)) == pytest.approx(0.2, abs=1e-5)
    depth[:] = torch.nan
    assert float(depth_loss(distance, opacity, depth)) == 0.0


def test_the_plane_of_the_depth_test_agrees_with_the_camera():
    """The ray of a cell through a point at planar depth d has length d sqrt(1 + x^2 + y^2)."""
    point = torch.tensor([[[0.4, 0.6, 0.5]]])
    x, y, depth = project(point, torch.zeros(1, 3), torch.zeros(1, 3), 1.0)[0, 0]
    length = (point[0, 0] - torch.tensor([0.0, 0.0, 10.0])).norm()
    slope = torch.stack(((x - 0.5) * 0.28, (y - 0.5 - 0.25 / 2.8) * 0.28))
    torch.testing.assert_close(depth * (1 + slope.square().sum()).sqrt(), length)
