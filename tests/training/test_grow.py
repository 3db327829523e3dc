"""Starting from another checkpoint, with the same encoder or a deeper one."""

from dataclasses import replace

import pytest
import torch

from facesep.config import ModelConfig, preset
from facesep.errors import ConfigError
from facesep.model import FaceSep
from facesep.nets.decoder import Decoder
from facesep.nets.encoder import build_encoder
from facesep.training.grow import begin_with

TINY = preset("tiny")


def deeper(blocks: tuple[int, ...]) -> ModelConfig:
    return replace(TINY, encoder=replace(TINY.encoder, blocks=blocks))


def networks(config: ModelConfig):
    torch.manual_seed(1)
    return build_encoder(config.encoder).eval(), Decoder(config.decoder)


@pytest.fixture(scope="module")
def start() -> FaceSep:
    torch.manual_seed(0)
    made = FaceSep(TINY)
    for parameter in made.encoder.parameters():  # no scale is 1, no shift 0
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


@pytest.mark.parametrize("more", [0, 1, 2])
def test_added_blocks_leave_the_codes_and_learn(start, more):
    config = deeper(tuple(n + more for n in TINY.encoder.blocks))
    encoder, decoder = networks(config)
    begin_with(encoder, decoder, config.encoder, start)
    photos = torch.rand(3, 3, 96, 96)
    torch.testing.assert_close(encoder(photos).vector(), start.encoder(photos).vector(), rtol=0, atol=0)
    for name, value in start.decoder.state_dict().items():
        assert torch.equal(decoder.state_dict()[name], value), name
    encoder(photos).vector().square().sum().backward()
    scales = [p.grad for name, p in encoder.named_parameters() if name.endswith("norm_2.weight")]
    assert len(scales) == 7 * sum(config.encoder.blocks)
    assert all(grad.abs().max() > 0 for grad in scales)


def test_a_shallower_or_wider_encoder_is_refused(start):
    for change in ({"blocks": tuple(max(n - 1, 0) for n in TINY.encoder.blocks)}, {"input_size": 128}):
        config = replace(TINY, encoder=replace(TINY.encoder, **change))
        if config == TINY:
            continue
        encoder, decoder = networks(config)
        with pytest.raises(ConfigError, match="do not fit 'model'"):
            begin_with(encoder, decoder, config.encoder, start)
