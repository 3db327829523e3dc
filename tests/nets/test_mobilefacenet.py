"""MobileFaceNet: structure, alignment, strict loading."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save_file

from facesep.errors import CheckpointError
from facesep.nets.crops import similarity
from facesep.nets.official.mobilefacenet import CROP, TEMPLATE, MobileFaceNet, align


@pytest.fixture(scope="module")
def net() -> MobileFaceNet:
    torch.manual_seed(0)
    return MobileFaceNet().eval()


def test_structure(net: MobileFaceNet):
    """Counts and key names of the published network."""
    assert sum(p.numel() for p in net.parameters()) == 999_552
    state = net.state_dict()
    assert len(state) == 333 and len(net.blocks) == 15
    assert state["blocks.0.conv.3.weight"].shape == (128, 1, 3, 3)
    assert state["linear7.conv.weight"].shape == (512, 1, 7, 6)
    assert state["linear1.bn.running_var"].shape == (128,)
    assert not [key for key in state if "linear" in key and "prelu" in key]
    assert net(torch.rand(2, 3, *CROP)).shape == (2, 128)


def test_similarity_is_exact_and_least_squares():
    g = torch.Generator().manual_seed(0)
    source = torch.randn(4, 5, 2, generator=g, dtype=torch.float64)
    angle, scale = 0.7, 2.5
    matrix = (
        scale
        * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]).double()
    )
    target = source @ matrix.T + torch.tensor([3.0, -1.0]).double()
    found = similarity(source, target)
    assert torch.allclose(found[:, :, :2], matrix.expand(4, 2, 2))
    assert torch.allclose(found[:, :, 2], torch.tensor([3.0, -1.0]).double().expand(4, 2))
    # The normal equations of (a, b, tx, ty) with x' = a x - b y + tx, y' = b x + a y + ty
    target = torch.randn(4, 5, 2, generator=g, dtype=torch.float64)
    found = similarity(source, target)
    for p, q, m in zip(source, target, found, strict=True):
        rows = torch.zeros(10, 4, dtype=torch.float64)
        rows[0::2] = torch.stack((p[:, 0], -p[:, 1], torch.ones(5), torch.zeros(5)), 1)
        rows[1::2] = torch.stack((p[:, 1], p[:, 0], torch.zeros(5), torch.ones(5)), 1)
        a, b, x, y = torch.linalg.lstsq(rows, q.flatten()[:, None]).solution[:, 0]
        assert torch.allclose(m, torch.stack((a, -b, x, b, a, y)).view(2, 3))


def test_align_puts_points_on_the_template():
    """A picture of its own coordinates, rotated and scaled faces in it."""
    size = 200
    at = torch.arange(size) + 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    image = torch.stack((x, y, x * 0))[None]
    template = torch.tensor(TEMPLATE)
    cos, sin = math.cos(0.3) * 1.4, math.sin(0.3) * 1.4
    points = (template @ torch.tensor([[cos, sin], [-sin, cos]]) + torch.tensor([50.0, 20.0]))[None]
    face = align(image, points)
    assert face.shape == (1, 3, *CROP)
    grid = template / torch.tensor([CROP[1], CROP[0]]) * 2 - 1
    read = torch.nn.functional.grid_sample(face, grid[None, None], align_corners=False)[0, :2, 0].T
    assert torch.allclose(read, points[0], atol=0.01)


def test_embedding_is_a_unit_vector_that_ignores_mirroring(net: MobileFaceNet):
    torch.manual_seed(1)
    image = torch.rand(2, 3, 64, 64)
    points = torch.tensor([[20.0, 28], [44, 28], [32, 40], [23, 50], [41, 50]]).expand(2, 5, 2)
    # The template is not quite symmetric, so mirror through the aligned crop.
    embedding = net.embed(image, points)
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2), atol=1e-5)
    face = align(image, points)
    halves = [torch.nn.functional.normalize(net(f), dim=1) for f in (face, face.flip(-1))]
    assert torch.allclose(embedding, torch.nn.functional.normalize(halves[0] + halves[1], dim=1), atol=1e-5)


def test_gradients_reach_pixels_and_points(net: MobileFaceNet):
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    points = torch.tensor([[[20.0, 28], [44, 29], [32, 40], [23, 50], [41, 50]]], requires_grad=True)
    net.embed(image, points)[0, 0].backward()
    assert image.grad.abs().sum() > 0 and points.grad.abs().sum() > 0


def test_loading_is_strict(net: MobileFaceNet, tmp_path):
    state = {key: value.clone() for key, value in net.state_dict().items()}
    save_file(state, str(tmp_path / "whole.safetensors"))
    loaded = MobileFaceNet.load(tmp_path / "whole.safetensors")
    x = torch.rand(1, 3, *CROP)
    assert torch.equal(loaded(x), net(x)) and not any(p.requires_grad for p in loaded.parameters())
    save_file({k: v for k, v in state.items() if k != "conv2.bn.bias"}, str(tmp_path / "less.safetensors"))
    with pytest.raises(CheckpointError, match="conv2.bn.bias"):
        MobileFaceNet.load(tmp_path / "less.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    for name in ("bad", "missing"):
        with pytest.raises(CheckpointError, match=name):
            MobileFaceNet.load(tmp_path / f"{name}.safetensors")
