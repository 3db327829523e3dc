"""A training step on a GPU that is not there: fake tensors know their device and have no numbers.

Mixing devices is an error for them, and so is asking for a number, for which a real GPU would have to wait.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from tiny_data import SIZE, write_tiny
from torch._subclasses.fake_tensor import FakeTensorMode

from facesep.config import ModelConfig, preset
from facesep.nets import decoder as decoder_module
from facesep.nets.decoder import Decoder
from facesep.nets.encoder import build_encoder
from facesep.nets.official.mobilefacenet import MobileFaceNet
from facesep.nets.official.st_lpips import StLpips
from facesep.training.augment import warp_pose
from facesep.training.config import Phase, TrainConfig, Weights
from facesep.training.dataset import TrainingSet
from facesep.training.phases import Networks, activate

GPU = "cuda:0"
WEIGHTS = Weights(**{term.name: 0.5 for term in dataclasses.fields(Weights)})


@pytest.fixture
def gpu(monkeypatch):
    if not torch.cuda.is_available():
        if not hasattr(torch._C, "_ensureCUDADeviceGuardSet"):
            pytest.skip("this torch cannot pretend to have a GPU")
        torch._C._ensureCUDADeviceGuardSet()
    # Which rays meet the head is asked once a render; that is known and measured.
    monkeypatch.setattr(decoder_module, "leaves_out", lambda config, device: False)
    # These come from the processor and stay there.
    monkeypatch.setattr(torch, "randint", lambda *a: [1, 1] if a[-1] == (2,) else 3)
    return FakeTensorMode(allow_non_fake_inputs=True)  # such as numbers read from files


@pytest.mark.parametrize("kind", ["decoder", "joint"])
def test_a_step_stays_on_its_device(gpu, kind, tmp_path):
    small = preset("tiny")
    phase = Phase(kind, learning_rate=1e-3)
    config = TrainConfig(
        model=ModelConfig(small.encoder, small.decoder),
        schedule=(phase, Phase("joint")),
        weights=WEIGHTS,
        distance="scaled",
        batch_size=4,
        micro_batch=4,
        perceptual_slices=2,
        perceptual_crop=16,
    )
    data = TrainingSet(*write_tiny(tmp_path), size=SIZE, in_memory=False, device=GPU)
    rows = torch.arange(4)
    labels = data.labels(rows)
    with gpu:
        batch = data.batch(rows, 32, config.augmentation)
        known = warp_pose(labels.to(GPU), batch.similarity)
        with torch.device(GPU):
            decoder, encoder = Decoder(small.decoder), build_encoder(small.encoder).eval()
            trunk, recogniser = StLpips(2), MobileFaceNet().eval()
        book = SimpleNamespace(read=lambda rows: known, start=lambda rows: known)
        terms = activate(config, phase, Networks(decoder, encoder, trunk, recogniser), book).losses(0, batch)
        assert {"pixel", "perceptual", "identity", "depth"} <= set(terms)
        assert kind == "decoder" or {"hair", "view", "cycle", "swap"} <= set(terms)
        assert {value.device.type for value in terms.values()} == {"cuda"}
        with pytest.raises(Exception, match="devices"):
            terms["pixel"] + torch.ones(1)
