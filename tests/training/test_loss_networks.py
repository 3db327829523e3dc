"""Which networks the losses get, and that ArcFace sees the aligned face with a way back to the pixels."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from facesep.errors import CheckpointError
from facesep.nets.crops import projected_points
from facesep.nets.official.arcface import ArcFace
from facesep.nets.official.mobilefacenet import MobileFaceNet
from facesep.training.config import TrainConfig
from facesep.training.loss_networks import loss_networks


def test_arcface_embeds_the_aligned_face():
    torch.manual_seed(0)
    net = ArcFace("r18").eval().requires_grad_(False)
    points = projected_points(torch.zeros(2, 3), torch.zeros(2, 3), 128)
    image = torch.rand(2, 3, 128, 128, requires_grad=True)
    found = net.embed(image, points)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
    plain = net.embed(image, points, mirror=False)
    assert float((plain * net.embed(image, points + 6, mirror=False)).sum(1).min()) < 0.9999
    plain[:, 0].sum().backward()
    seen = image.grad.abs().amax((0, 1))
    assert float(seen[64:100, 45:85].max()) > 0 and float(seen[:10].max()) == 0  # the face, not the corner


def test_files_are_loaded_by_what_the_configuration_says(tmp_path):
    path = tmp_path / "mobile.safetensors"
    save_file(MobileFaceNet().state_dict(), str(path))
    assert loss_networks(TrainConfig(), None, None) == (None, None)
    trunk, face = loss_networks(TrainConfig(recogniser="mobilefacenet"), None, str(path))
    assert trunk is None and isinstance(face, MobileFaceNet)
    with pytest.raises(CheckpointError):
        loss_networks(TrainConfig(recogniser="arcface"), None, str(path))
    with pytest.raises(CheckpointError):
        loss_networks(TrainConfig(perceptual="vgg19"), str(path), None)
