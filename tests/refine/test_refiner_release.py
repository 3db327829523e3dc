"""A release can hold a refiner, in half precision like the model's own weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_refiner import tiny_refiner

pytest.importorskip("diffusers")

from facesep.checkpoint import verify_checkpoint
from facesep.config import preset
from facesep.data.heads import Photo
from facesep.evaluation.refinement import strips
from facesep.faces import Aligned
from facesep.model import FaceSep
from facesep.refine import FaceRefiner
from facesep.training.export import release


def test_a_release_with_a_refiner(tmp_path):
    FaceSep(preset("tiny")).save_pretrained(tmp_path / "run")
    refiner = tiny_refiner()
    refiner.save_pretrained(tmp_path / "refiner")
    about = {"license": "apache-2.0", "summary": "A release."}
    sep = release(tmp_path / "run", tmp_path / "out", about, None, torch.float16, tmp_path / "refiner")
    verify_checkpoint(tmp_path / "out")
    for part in ("unet", "estimator"):
        stored = load_file(tmp_path / "out" / "refiner" / part / "diffusion_pytorch_model.safetensors")
        assert {value.dtype for value in stored.values()} == {torch.float16}
    assert "This checkpoint has a refiner" in (tmp_path / "out" / "README.md").read_text()
    picture = torch.rand(3, 32, 32)
    assert sep.refiner.unet.dtype == torch.float32  # computed as everything else is
    torch.testing.assert_close(sep.refiner.refine(picture), refiner.refine(picture), atol=5e-3, rtol=0)
    again = release(tmp_path / "out", tmp_path / "again", {}, None, torch.float16)
    assert again.has_refiner and again.extras["train_config"]["summary"] == "A release."
    torch.testing.assert_close(again.refiner.refine(picture), sep.refiner.refine(picture))
    assert FaceRefiner.from_pretrained(tmp_path / "again").config.steps == refiner.config.steps


def test_rows_to_look_at(tmp_path):
    sep = FaceSep(preset("tiny"))
    sep.refiner = tiny_refiner()
    picture = Image.effect_noise((sep.image_size,) * 2, 80).convert("RGB")
    aligned = Aligned.of_crop(picture, np.zeros((5, 2)))
    photo = Photo("one", "somebody", {}, aligned, torch.ones(1, sep.image_size, sep.image_size))
    (row,) = strips(sep, [photo], (1, 2))
    assert list(row) == ["photo", "render", "estimator alone", "1 call", "2 calls"]
    assert len({one.tobytes() for one in row.values()}) == 5
    assert row["photo"].tobytes() == picture.tobytes()
