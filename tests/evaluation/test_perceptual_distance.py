"""LPIPS against its formula, and no silent stand-in where it cannot be had."""

from __future__ import annotations

import urllib.error

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from facesep.errors import CheckpointError, ConfigError
from facesep.evaluation.perceptual import lpips_distance


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """torchvision's AlexNet with random weights as a file."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    net = torchvision.models.alexnet(weights=None).eval()
    path = tmp_path_factory.mktemp("lpips") / "alexnet.safetensors"
    save_file(net.features.state_dict(prefix="features."), str(path))
    return net, path


def test_lpips_is_its_formula(trunk):
    """sum over layers of the mean over places of w . (x / |x| - y / |y|)^2 (Zhang et al., eq. 1)."""
    lpips = pytest.importorskip("lpips")
    net, path = trunk
    found = lpips_distance("alex", path)
    a, b = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    linear = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def taps(x):
        x = (x * 2 - 1 - shift[:, None, None]) / scale[:, None, None]
        features = []
        for layer in net.features:
            x = layer(x)
            if isinstance(layer, torch.nn.ReLU):
                features.append(x.clone())
        return features

    expected = 0
    with torch.no_grad():
        for k, (x, y) in enumerate(zip(taps(a), taps(b), strict=True)):
            weight = getattr(linear, f"lin{k}").model[-1].weight[0, :, 0, 0]
            gap = (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square()
            expected = expected + torch.einsum("bchw,c->bhw", gap, weight).mean((1, 2))
    torch.testing.assert_close(found.distance(a, b), expected, rtol=1e-4, atol=1e-6)
    assert found.distance(a, a).abs().max() < 1e-7
    assert found.column == "LPIPS" and "alex" in found.about and "alexnet.safetensors" in found.about


def test_nothing_takes_its_place(trunk, monkeypatch, tmp_path):
    lpips = pytest.importorskip("lpips")

    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(lpips, "LPIPS", offline)
    with pytest.raises(ConfigError, match="--lpips-weights"):
        lpips_distance("alex")
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="unknown LPIPS trunk"):
        lpips_distance("resnet")
    save_file({"features.0.weight": torch.zeros(64, 3, 11, 11)}, str(tmp_path / "part.safetensors"))
    with pytest.raises(CheckpointError, match="missing"):
        lpips_distance("alex", tmp_path / "part.safetensors")
