"""Presets and strict JSON."""

from __future__ import annotations

import json

import pytest

from facesep.config import PRESETS, DecoderConfig, EncoderConfig, ModelConfig, from_dict, preset, to_dict
from facesep.errors import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    values = json.loads(json.dumps(to_dict(preset(name))))
    assert from_dict(ModelConfig, values) == preset(name)


def test_the_paper_has_its_sizes():
    decoder = preset("paper").decoder
    assert (decoder.image_size, decoder.ray_size, decoder.samples) == (1024, 32, 64)
    assert (decoder.width, decoder.features, decoder.levels) == (384, 256, 5)


@pytest.mark.parametrize(
    "change",
    [
        {"decoder": {"samplez": 3}},
        {"decoder": {"samples": "64"}},
        {"decoder": {"samples": True}},
        {"decoder": {"samples": 0}},
        {"decoder": {"image_size": 100}},
        {"decoder": {"image_size": 96}},
        {"decoder": {"sampling": "random"}},
        {"decoder": {"volume_radii": [1, 2]}},
        {"decoder": {"volume_radii": [1, 2, -1]}},
        {"decoder": {"skip": 99}},
        {"decoder": []},
        {"encoder": {"kind": "huge"}},
        {"encoder": {"widths": [8, "8"]}},
        {"encoder": {"stem": 3}},
        {"encoder": {"stem": 4, "input_size": 24}},
        {"encoder": {"widths": [8], "blocks": [1, 1]}},
        {"extra": {}},
    ],
)
def test_what_does_not_fit_is_refused(change):
    values = to_dict(preset("tiny"))
    for part, fields in change.items():
        if isinstance(fields, dict) and part in values:
            values[part] = {**values[part], **fields}
        else:
            values[part] = fields
    with pytest.raises(ConfigError):
        from_dict(ModelConfig, values)


def test_integers_may_stand_for_floats():
    assert from_dict(DecoderConfig, {"near": 8}).near == 8.0


def test_unknown_presets_are_named():
    with pytest.raises(ConfigError, match="paper, mini, small, tiny"):
        preset("giant")
    assert EncoderConfig(kind="light").input_size == 64
