"""A head in its photo goes on beyond the crop without an edge, and a neck stands beside hair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from facesep import FaceSep
from facesep.codes import CODE_SIZES, Codes
from facesep.demo.examples import FOLDER
from facesep.detail.compose import Picture
from facesep.detail.paste import RIM, _behind, paste, rim
from facesep.detail.source import Source
from facesep.faces.crop import Crop

SIDE = 128


def source(colour: float) -> Source:
    """A head that fills the crop and goes on beyond it."""
    codes = Codes(**{name: torch.zeros(1, size) for name, size in CODE_SIZES.items()})
    whole, some = torch.ones(1, 1, SIDE, SIDE), torch.ones(1, 1, 8, 8)
    return Source(codes, whole.expand(-1, 3, -1, -1) * colour, whole, whole, some, some, some)


@pytest.mark.parametrize("moved", [False, True])
def test_what_goes_on_beyond_the_crop_has_no_edge_there(moved):
    photo = Image.new("RGB", (300, 300), (100, 100, 100))
    crop = Crop(86.0, 86.0, float(SIDE))
    picture = Picture(torch.full((1, 3, SIDE, SIDE), 200 / 255), *[torch.ones(1, 1, SIDE, SIDE)] * 2)
    result = np.asarray(paste(photo, crop, picture, source(100 / 255), moved), float)[..., 0]
    assert result[150, 150] == 200 and result[80, 80] == 100  # all of the change, and none
    steps = np.abs(np.diff(result, axis=0))[:, 150]
    assert 0 < steps.max() <= 1.6 * 100 / (RIM * SIDE)  # the steepest part of the ramp
    assert np.array_equal(result, result.T)


def test_a_crop_has_no_rim_where_the_photo_ends():
    photo = Image.new("RGB", (100, 100))
    whole = rim(Crop(-5.0, -5.0, 120.0), photo, 64)
    assert torch.equal(whole, torch.ones(1, 1, 64, 64))
    below = rim(Crop(-5.0, -5.0, 80.0), photo, 64)[0, 0]
    assert float(below[0].min()) < 0.03 and below[0, 0] == 1 and below[-1].max() < 0.03


def test_a_neck_beside_hair_is_what_stands_behind_a_chin():
    """Left and right hair, between them a face and below it a narrow neck; beyond all that a wall."""
    size = 256
    shown, head, hair = torch.zeros(1, 3, size, size), torch.zeros(1, 1, size, size), None
    head[..., 40:220, 90:166] = 1  # the face
    hair = torch.zeros_like(head)
    hair[..., 30:250, 60:90] = hair[..., 30:250, 166:196] = 1
    head = torch.maximum(head, hair)
    shown[:, 0, 220:, 90:166] = 1  # the neck is red, the wall black
    found = _behind(shown, head, hair, torch.ones_like(head))
    assert found[0, 0, 210:218, 100:156].min() > 0.8
    assert found[0, 0, 100, 40:60].max() < 0.2


def test_hair_that_goes_takes_along_what_of_it_lies_beyond_the_crop():
    """A man with much hair, cut off by the crop, gets hair that lies flat; a smile leaves what is above."""
    sep = FaceSep.from_pretrained()
    man, woman = (sep.portrait(FOLDER / name) for name in ("london_092.jpg", "london_099.jpg"))
    crop, photo = man.frames[0]
    assert crop.top > 20
    before = np.asarray(photo, float)
    above, wall = np.s_[: int(crop.top), 150:370], before[:40, 150:370].mean()
    assert (before[above] < 0.6 * wall).mean() > 0.05  # dark hair
    bald = np.asarray(sep.render(man.swap(woman, "hair"), background="keep"), float)
    assert (bald[above] < 0.6 * wall).mean() < 0.002
    assert np.array_equal(bald[-60:], before[-60:]) and np.array_equal(bald[:30], before[:30])
    smiling = np.asarray(sep.render(man.swap(woman, "expression"), background="keep"), float)
    assert np.array_equal(smiling[above], before[above])
