"""The seven light heads."""

from __future__ import annotations

import math
from typing import get_args, get_type_hints

import pytest
import torch

from facesep.camera import TEMPLATE_5, project
from facesep.codes import ATTRIBUTES, CODE_SIZES
from facesep.config import EncoderConfig, preset
from facesep.nets.encoder import build_encoder, face_window


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(preset("tiny").encoder).eval()


def test_codes_have_their_sizes_and_the_shape_code_its_length(encoder):
    codes = encoder(torch.rand(3, 3, 32, 32))
    for name, code in codes.items():
        assert code.shape == (3, CODE_SIZES[name])
    torch.testing.assert_close(codes.shape.norm(dim=-1), torch.full((3,), math.sqrt(512)))


@pytest.mark.parametrize("kind", get_args(get_type_hints(EncoderConfig)["kind"]))
def test_every_kind_has_a_network_of_its_own_with_seven_heads(kind):
    with torch.device("meta"):
        built = build_encoder(EncoderConfig(kind=kind))
    assert kind in type(built).__name__.lower() and set(built.heads) == set(ATTRIBUTES)


def test_a_batch_equals_its_items(encoder):
    images = torch.rand(3, 3, 48, 48)
    together = encoder(images).vector()
    for index in range(3):
        torch.testing.assert_close(together[index], encoder(images[index : index + 1]).vector()[0])


def test_each_head_learns_from_its_own_code_alone(encoder):
    codes = encoder(torch.rand(2, 3, 32, 32))
    codes.hair.square().sum().backward()
    for name in ATTRIBUTES:
        touched = any(p.grad is not None for p in encoder.heads[name].parameters())
        assert touched == (name == "hair"), name


def test_gradients_reach_the_image(encoder):
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    encoder(image).vector().sum().backward()
    assert image.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [128, 256, 1024])
def test_the_face_window_holds_the_face_of_the_mean_head(size):
    points = project(torch.tensor(TEMPLATE_5), torch.zeros(1, 3), torch.zeros(1, 3), size)[0, :, :2]
    marked = torch.zeros(1, 1, size, size)
    for x, y in points.round().long().tolist():
        marked[..., y, x] = 1
    window = face_window(marked)
    assert window.shape[-1] == window.shape[-2] == round(0.7882 * size)
    assert window.sum() == 5
