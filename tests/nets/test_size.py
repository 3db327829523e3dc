"""Sizes of the networks against those measured on the official ones."""

from __future__ import annotations

import pytest
import torch

from facesep.codes import Codes
from facesep.config import DecoderConfig, EncoderConfig, preset
from facesep.nets.decoder import Decoder
from facesep.nets.official.arcface import ArcFace
from facesep.nets.official.bisenet import BiSeNet
from facesep.nets.official.hair import HairEncoder
from facesep.nets.official.iresnet import IResNet
from facesep.nets.official.rnet import RNet
from facesep.nets.official.swinir import SwinIR
from facesep.nets.paper_encoder import PaperEncoder
from facesep.nets.size import Size, count, parameters

META = torch.device("meta")


def built(build):
    with META:
        return build().eval()


def test_count_of_a_known_layer():
    conv = torch.nn.Conv2d(3, 8, 5, stride=2, padding=2)
    size = count(conv, torch.zeros(2, 3, 32, 32))
    assert size == Size(8 * 3 * 25 + 8, 2 * 16 * 16 * 8 * 3 * 25)
    assert str(Size(2_700_000, 104_160_000_000)) == "2.70 M parameters, 104.16 G multiply-adds"


@pytest.mark.parametrize(
    ("build", "shape", "learned", "giga_macs"),
    [
        (RNet, (3, 224, 224), 24_034_625, 4.088),
        (lambda: IResNet("ir50"), (3, 112, 112), 43_585_600, 6.296),
        (lambda: IResNet("ir18"), (3, 112, 112), 24_020_352, 2.597),
        (HairEncoder, (1, 256, 256), 45_023_680, 1.150),
        pytest.param(SwinIR, (3, 512, 512), 15_792_587, 90.74, marks=pytest.mark.slow),
        (lambda: ArcFace("r18"), (3, 112, 112), 24_025_600, 2.610),
        (lambda: ArcFace("r50"), (3, 112, 112), 43_590_848, 6.309),
        pytest.param(lambda: ArcFace("r100"), (3, 112, 112), 65_156_160, 12.09, marks=pytest.mark.slow),
    ],
)
def test_networks(build, shape, learned, giga_macs):
    size = count(built(build), torch.zeros(1, *shape, device=META))
    assert size.parameters == learned
    assert size.macs / 1e9 == pytest.approx(giga_macs, rel=2e-3)


def test_parser():
    net = built(BiSeNet)
    image = torch.zeros(1, 3, 512, 512, device=META)
    assert parameters(net) == 13_300_416
    net_all = torch.nn.Module()
    net_all.forward = net.all_logits
    assert count(net_all, image).macs / 1e9 == pytest.approx(13.77, rel=1e-3)
    assert count(net, image).macs < count(net_all, image).macs  # two heads serve training only


@pytest.mark.slow
def test_diffusion_network():
    pytest.importorskip("diffusers")
    from facesep.nets.official.difface_unet import build_unet

    inputs = torch.zeros(1, 3, 512, 512, device=META), torch.zeros(1, device=META)
    size = count(built(build_unet), *inputs)
    assert size.parameters == 159_788_454
    assert size.macs / 1e9 == pytest.approx(189.15, rel=1e-3)


def test_paper_encoder():
    size = count(built(lambda: PaperEncoder(EncoderConfig())), torch.zeros(1, 3, 256, 256, device=META))
    rnets = 5 * 23_508_032 + 131_136 + 163_920 + 55_323 + 6_147 + 4_098 + 2_049
    deviation_head = 8192 * 16 + 16  # a buffer, like the parser
    assert size.parameters == rnets + 43_585_600 + 45_023_680 - deviation_head
    assert size.macs / 1e9 == pytest.approx(41.7, rel=0.02)


@pytest.mark.parametrize(("image_size", "learned"), [(1024, 3_023_251), (256, 3_000_077)])
def test_paper_decoder(image_size, learned):
    assert parameters(built(lambda: Decoder(DecoderConfig(image_size=image_size)))) == learned


def test_preset_is_the_papers():
    config = preset("paper")
    assert (config.decoder.image_size, config.decoder.ray_size, config.decoder.samples) == (1024, 32, 64)
    assert (config.decoder.width, config.decoder.features) == (384, 256)
    assert (config.encoder.recognition, config.encoder.width) == ("ir50", 64)


@pytest.mark.slow
def test_paper_decoder_needs_no_more_than_the_official_form():
    """Official form: 135.17 G; folded codes and merged colour layers make it cheaper, never dearer."""
    decoder = Decoder(preset("paper").decoder).eval()
    assert count(decoder, Codes.from_vector(torch.zeros(1, 705))).macs / 1e9 < 135.17
