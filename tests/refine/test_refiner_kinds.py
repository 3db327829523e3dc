"""A refiner given values of every kind: it works, or raises an error of facesep's own."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("diffusers")
from hypothesis import given, settings
from test_wrong_kinds import FEW, VALUES, inside, survives  # noqa: F401 (files go to a folder of the test)
from tiny_refiner import tiny_refiner

from facesep import FaceSep
from facesep.config import preset
from facesep.refine import FaceRefiner

REFINER = tiny_refiner()
PICTURE = torch.full((3, 32, 32), 0.5)


@settings(FEW, max_examples=15)
@given(VALUES, VALUES, VALUES)
def test_refining(a, b, c):
    survives(REFINER.refine, a)
    survives(REFINER.refine, [a])
    survives(REFINER.refine, PICTURE, a, b)
    survives(REFINER.refine, PICTURE, 1, eta=a, seed=b, on_step=c)
    survives(REFINER.times, a, b)
    survives(REFINER.seconds, a)


@FEW
@given(VALUES, VALUES)
def test_files_of_refiners(a, b):
    if not isinstance(a, str):
        survives(REFINER.save_pretrained, a)
        survives(REFINER.push_to_hub, a)
        survives(FaceRefiner.from_pretrained, a)
        survives(FaceRefiner.from_unet, a)
    survives(FaceRefiner.from_pretrained, "nobody/nothing", revision=a, local_files_only=True)
    survives(FaceRefiner.from_unet, "nobody/nothing", revision=a, device=b, local_files_only=True)


@settings(FEW, max_examples=10)
@given(VALUES)
def test_options_of_a_render(a):
    sep = FaceSep(preset("tiny"))
    sep.refiner = REFINER
    for name in ("steps", "start", "eta", "seed", "on_step"):
        survives(sep.render, PICTURE, detail=False, refine={name: a})
