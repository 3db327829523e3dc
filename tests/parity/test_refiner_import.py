"""DifFace's official files, imported into diffusers' layout: saved, loaded again, exact."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from golden import Golden, normal, uniform

pytest.importorskip("diffusers")

from facesep.errors import CheckpointError
from facesep.importers.refiner import assemble_refiner
from facesep.refine import FaceRefiner, LayeredUNet, SwinIREstimator

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@torch.no_grad()
def test_official_files_become_a_refiner(tmp_path):
    unet, swinir = Golden("difface_unet"), Golden("difface_swinir")
    torch.save(unet.weights(), tmp_path / "u.pth")
    torch.save({"state_dict": {f"module.{k}": v for k, v in swinir.weights().items()}}, tmp_path / "s.pth")
    script = [sys.executable, str(ROOT / "train" / "import_weights.py"), "refiner"]
    files = ["--unet", tmp_path / "u.pth", "--estimator", tmp_path / "s.pth", "--out", tmp_path / "refiner"]
    done = subprocess.run([*script, *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refiner = FaceRefiner.from_pretrained(tmp_path / "refiner")
    assert refiner.times() == list(range(396, -1, -4)) and refiner.config.eta == 0.5
    assert isinstance(refiner.unet, LayeredUNet) and isinstance(refiner.estimator, SwinIREstimator)
    assert [len(block.resnets) for block in refiner.unet.down_blocks] == [1, 2, 2, 2, 2, 3, 4]
    assert "non-commercial" in (tmp_path / "refiner" / "README.md").read_text()
    out = refiner.unet(normal(60, 1, 3, 512, 512), torch.tensor([396])).sample
    unet.check("out", out[0, :, ::8, ::8])
    unet.check("out_patch", out[0, :, 240:272, 240:272])
    out = refiner.estimator(uniform(61, 1, 3, 512, 512))
    swinir.check("out", out[0, :, ::8, ::8])
    swinir.check("out_patch", out[0, :, 240:304, 240:304])
    with pytest.raises(CheckpointError, match="give each file its option"):
        assemble_refiner(tmp_path / "other", tmp_path / "s.pth", tmp_path / "u.pth")
