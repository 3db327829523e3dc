"""VGG19 against torchvision's own, and the distance against its definition."""

from __future__ import annotations

import pytest
import torch

from facesep.errors import CheckpointError
from facesep.nets.files import read_network, write_network
from facesep.nets.official.vgg19 import VGG19, layout


def test_taps_are_the_first_activation_of_each_stage():
    assert [index + 1 for index, _, _, tap in layout() if tap] == [1, 6, 11, 20, 29]


def test_taps_are_torchvisions():
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        official = models.vgg19().features[:30]
    torch.manual_seed(0)
    net = VGG19().eval()
    state = {key.removeprefix("features."): value for key, value in net.state_dict().items()}
    official.load_state_dict(state, assign=True)
    image = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, expected = (image - mean[:, None, None]) / std[:, None, None], []
    with torch.no_grad():
        for index, layer in enumerate(official):
            x = layer(x)
            if index in (1, 6, 11, 20, 29):
                expected.append(x.clone())
        for ours, theirs in zip(net.taps(image), expected, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_distance():
    torch.manual_seed(0)
    net = VGG19()
    a, b = torch.rand(2, 1, 3, 32, 32)
    assert net(a, a).item() == 0
    expected = sum((x - y).abs().mean() for x, y in zip(net.taps(a), net.taps(b), strict=True))
    assert net(a, b).item() == pytest.approx(expected.item())
    a.requires_grad_()
    net(a, b).backward()
    assert a.grad.abs().sum() > 0


def test_network_files(tmp_path):
    path = tmp_path / "net.safetensors"
    write_network(path, "arcface-r50", {"a": torch.arange(6.0).view(2, 3).T})
    name, state = read_network(path, "arcface")
    assert name == "arcface-r50"
    assert torch.equal(state["a"], torch.arange(6.0).view(2, 3).T)
    assert read_network(path, "arcface-r50")[0] == name
    for kind in ("arcface-r18", "vgg19", "arc"):
        with pytest.raises(CheckpointError, match="arcface-r50"):
            read_network(path, kind)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match="cannot read"):
        read_network(path, "arcface")
    with pytest.raises(CheckpointError, match="cannot read"):
        read_network(tmp_path / "absent.safetensors", "arcface")
