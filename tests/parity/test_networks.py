"""The paper's networks against golden vectors of the official code."""

from __future__ import annotations

import pytest
import torch
from golden import Golden, normal, uniform

from facesep.nets.official.arcface import ArcFace
from facesep.nets.official.bisenet import BiSeNet
from facesep.nets.official.hair import HairEncoder, position_code
from facesep.nets.official.iresnet import IResNet
from facesep.nets.official.rnet import ATTRIBUTE_HEADS, HEADS, RNet, single_head, split_coefficients
from facesep.nets.official.swinir import SwinIR


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def rnet_input() -> torch.Tensor:
    blocks = uniform(11, 1, 3, 14, 14).repeat_interleave(16, 2).repeat_interleave(16, 3)
    return torch.cat([uniform(10, 1, 3, 224, 224), blocks])


def test_rnet():
    golden = Golden("rnet")
    net = RNet().eval()
    state = golden.weights()
    net.load_state_dict(state)
    golden.probes(net)
    image = rnet_input()
    coefficients = net(image)
    golden.check("coeff", coefficients)
    golden.check("feat", net.features(image))
    golden.check_all_done()
    # Wrong on purpose: BGR, ImageNet normalisation.
    assert golden.error("coeff", net(image.flip(1))) > 1000
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    assert golden.error("coeff", net((image - mean) / std)) > 1000


def test_single_heads_equal_the_slices_of_rnet():
    golden = Golden("rnet")
    state = golden.weights()
    parts = split_coefficients(golden["coeff"])
    assert {name: part.shape[1] for name, part in parts.items()} == HEADS
    image = rnet_input()
    for attribute, names in ATTRIBUTE_HEADS.items():
        expected = torch.cat([parts[name] for name in names], 1)
        net = RNet((expected.shape[1],)).eval()
        net.load_state_dict(single_head(state, attribute))
        assert (net(image) - expected).abs().max() < golden.meta["suggested_atol"]["coeff"]


@pytest.mark.parametrize(
    ("name", "trunk", "seed"),
    [("adaface_ir18", "ir18", 21), pytest.param("adaface_ir50", "ir50", 20, marks=pytest.mark.slow)],
)
def test_adaface(name, trunk, seed):
    golden = Golden(name)
    net = IResNet(trunk).eval()
    net.load_state_dict(golden.weights())
    golden.probes(net)
    image = 2 * uniform(seed, 2, 3, 112, 112) - 1
    unit, length = net(image)
    golden.check("embedding", unit)
    golden.check("norm", length)
    golden.check_all_done()
    assert golden.error("embedding", net(image.flip(1))[0]) > 100  # the order of the channels


@pytest.mark.slow
def test_arcface():
    golden = Golden("arcface_iresnet50")
    net = ArcFace("r50").eval()
    net.load_state_dict(golden.weights())
    golden.probes(net)
    embedding = net(2 * uniform(30, 2, 3, 112, 112) - 1)
    golden.check("embedding", embedding)
    golden.check("embedding_unit", torch.nn.functional.normalize(embedding))
    golden.check_all_done()


def hair_encoder(golden: Golden) -> HairEncoder:
    net = HairEncoder().eval()
    net.load_state_dict({key.removeprefix("hair_encoder."): t for key, t in golden.weights().items()})
    return net


def test_hair_encoder():
    golden = Golden("ctrlhair")
    net = hair_encoder(golden)
    golden.probes(net)
    mask = golden["in.mask"].float()
    golden.check("std", net.std_out_layer.fc(net.features(mask)).abs())
    golden.check("code", net(mask))
    golden.check("code_single", torch.cat([net(mask[i : i + 1]) for i in range(3)]))
    golden.check("pos_code", net.position[:, ::16, ::16])
    golden.check("pos_code_row", net.position[:, 100, ::4])
    golden.check_all_done()


class GroupNorm(torch.nn.Module):
    """The tempting mistake: biased deviation, eps inside the root."""

    def __init__(self, norm):
        super().__init__()
        self.gamma, self.beta, self.eps = norm.gamma, norm.beta, norm.eps

    def forward(self, x):
        return torch.nn.functional.group_norm(x, 1, self.gamma, self.beta, self.eps)


def test_hair_encoder_pitfalls():
    golden = Golden("ctrlhair")
    net = hair_encoder(golden)
    mask = golden["in.mask"].float()
    line = torch.linspace(0, 1, 257)[:-1]
    y, x = torch.meshgrid(line, line, indexing="ij")
    angles = torch.stack([torch.pi * 2.0**i * axis for i in range(10) for axis in (x, y)])
    correct = net.position.clone()
    single_precision = torch.cat([angles.sin(), angles.cos()])
    assert golden.error("pos_code", single_precision[:, ::16, ::16]) > 1
    assert golden.error("pos_code_row", single_precision[:, 100, ::4]) > 1
    net.position.copy_(correct.transpose(1, 2))  # x and y swapped
    assert golden.error("code", net(mask)) > 1000
    net.position.copy_(correct)
    for layer in net.layers:
        layer.norm = GroupNorm(layer.norm)
    assert golden.error("code", net(mask)) > 1


def test_position_code_of_other_sizes_follows_the_formula():
    code = position_code(8)
    assert code.shape == (40, 8, 8)
    for channel, wave in ((0, torch.sin), (20, torch.cos)):
        expected = wave(torch.pi * torch.arange(8) / 8)
        assert torch.allclose(code[channel, 3], expected, atol=1e-6)  # x runs along the width
        assert torch.allclose(code[channel + 1, :, 3], expected, atol=1e-6)


def test_bisenet():
    golden = Golden("bisenet")
    net = BiSeNet().eval()
    net.load_state_dict(golden.weights())
    golden.probes(net)
    out, out16, out32 = net.all_logits(normal(50, 1, 3, 512, 512))
    golden.check("out", out[0, :, ::8, ::8])
    golden.check("out16", out16[0, :, ::16, ::16])
    golden.check("out32", out32[0, :, ::16, ::16])
    golden.check("out_patch", out[0, :, 200:216, 200:216])
    golden.check("out_256x320", net(normal(51, 1, 3, 256, 320))[0, :, ::8, ::8])
    golden.check_all_done()
    sure = golden["margin"] > 1e-2
    label = out[0, :, ::4, ::4].argmax(0)
    assert sure.float().mean() > 0.9
    assert (label[sure] == golden["label"].long()[sure]).all()


@pytest.mark.slow
def test_swinir():
    golden = Golden("difface_swinir")
    net = SwinIR().eval()
    net.load_state_dict(golden.weights())
    golden.probes(net, lambda name: {"patch_embed": "patch_embed.norm"}.get(name, name))
    out = net(uniform(61, 1, 3, 512, 512))
    golden.check("out", out[0, :, ::8, ::8])
    golden.check("out_patch", out[0, :, 240:304, 240:304])
    golden.check_all_done()
