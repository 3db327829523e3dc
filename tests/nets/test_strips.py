"""The renderer in strips gives what the plain renderer gives."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import facesep.nets.strips as strips
from facesep.config import preset
from facesep.nets.upsampler import Upsampler, enlarge

TINY = preset("tiny").decoder


def upsampler(features: int, least: int, levels: int) -> Upsampler:
    torch.manual_seed(features + levels)
    config = dataclasses.replace(
        TINY, features=features, min_channels=least, ray_size=4, image_size=4 * 2**levels
    )
    return Upsampler(config).double().requires_grad_(False)


@pytest.mark.parametrize("points", [1, 24, 10**6])
@pytest.mark.parametrize(("features", "least", "levels"), [(32, 8, 3), (8, 8, 1), (12, 2, 2), (6, 3, 2)])
def test_strips_equal_whole_maps(monkeypatch, points, features, least, levels):
    monkeypatch.setattr(strips, "POINTS", points)  # one row, a few rows that do not divide the map, all
    net = upsampler(features, least, levels)
    x = torch.randn(2, features, 5, 5, dtype=torch.float64)
    for count in (None, 0, 1):
        wanted = net.layers(x, count)
        found = strips.render_strips(net, x, count)
        assert found.shape == wanted.shape
        torch.testing.assert_close(found, wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_enlarging_by_three_taps(size):
    if size == 1:  # the mirror of a single pixel does not exist in the plain form: it stays constant
        one = torch.rand(1, 1, 3)
        assert torch.equal(strips.enlarge_rows(one, 0), one.expand(2, 1, 3))
        return
    x = torch.rand(1, 3, size, size, dtype=torch.float64)
    rows = x[0].permute(1, 2, 0)
    found = strips.enlarge_rows(strips.enlarge_rows(rows, 0), 1).permute(2, 0, 1)[None]
    torch.testing.assert_close(found, enlarge(x), atol=1e-14, rtol=0)


def test_strips_are_used_without_gradients_alone(monkeypatch):
    net = upsampler(8, 4, 2).float()
    x = torch.randn(1, 8, 4, 4)
    calls = []
    real = strips.render_strips
    monkeypatch.setattr("facesep.nets.upsampler.render_strips", lambda *args: calls.append(1) or real(*args))
    plain = net(x)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        net(x)
    assert not calls
    with torch.no_grad():
        fast = net(x)
    assert calls
    torch.testing.assert_close(fast, plain, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types(dtype):
    net = upsampler(16, 8, 2).to(dtype)
    x = torch.randn(1, 16, 4, 4, dtype=dtype)
    with torch.no_grad():
        error = (net(x) - torch.sigmoid(net.layers(x).float())).abs().max()
    assert error < (2e-2 if dtype is torch.bfloat16 else 1e-6)
