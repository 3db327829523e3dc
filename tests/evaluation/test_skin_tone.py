"""Skin tone and light by code: normals of a sphere, relit pictures, shares by hand and the real script."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_scripts import run

from facesep.analysis import relight
from facesep.codes import CODE_SIZES, Codes
from facesep.data.heads import ShardPhotos
from facesep.errors import DataError
from facesep.evaluation import skin
from facesep.model import FaceSep


def sphere(count: int = 33) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of half a sphere of radius 2 on a grid, ``[1, 3, n, n]``, and which are not at the rim."""
    axis = torch.linspace(-1, 1, count, dtype=torch.float64)
    y, x = torch.meshgrid(-axis, axis, indexing="ij")
    z = (1 - x**2 - y**2).clamp_min(0).sqrt()
    return torch.stack((x, y, z))[None] * 2, ((x**2 + y**2) < 0.64)[None, None]


def test_normals_of_a_sphere():
    points, inside = sphere()
    normal = relight.surface_normals(points, torch.ones_like(points[:, :1]), rounds=0)
    error = (normal - F.normalize(points, dim=1)).norm(dim=1, keepdim=True)
    assert error[inside].max() < 0.01
    behind = relight.surface_normals(points.flip(-1), torch.ones_like(points[:, :1]), rounds=0)
    assert (behind[:, 2] >= 0).all()  # the viewer sees the outside, whichever way the grid runs


def test_smoothing_does_not_reach_into_the_background():
    """A plane stays a plane up to the border of what is seen, whatever lies beyond."""
    axis = torch.arange(8.0)
    y, x = torch.meshgrid(-axis, axis, indexing="ij")
    seen = (x < 5).float()[None, None]
    plane = torch.stack((x, y, torch.where(x < 5, 1.0, 99.0)))[None]
    normal = relight.surface_normals(plane, seen)
    assert torch.allclose(normal[0, :, 3, 3], torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)


def test_relit_by_hand():
    image, head = torch.full((1, 3, 8, 8), 0.4), torch.ones(1, 1, 8, 8)
    head[..., :2, :] = 0
    normal = torch.zeros(1, 3, 8, 8)
    normal[:, 0, :, :4], normal[:, 0, :, 4:] = -1, 1  # left half looks left, right half right
    other = relight.relit(image, head, head, normal, (2.0, 0.0, 0.0))
    assert torch.equal(other[..., :2, :], image[..., :2, :])
    s = relight.STRENGTH
    assert torch.allclose(other[..., 2:, :4], torch.tensor(0.4 * (1 - s)))
    assert torch.allclose(other[..., 2:, 4:], torch.tensor(0.4 * (1 + s)))
    assert torch.allclose(relight.relit(image, head, head, normal, (0.0, 1.0, 0.0)), image)


def test_tones_of_known_colours():
    """Mid grey of 119 / 255 has L 50.03 (CIE, D65); pixels beyond the face do not count."""
    image = torch.ones(1, 3, 4, 4)
    image[..., :2] = 119 / 255
    face = torch.zeros(1, 1, 4, 4)
    assert skin.tones(image, face.index_fill(3, torch.tensor([0, 1]), 1)) == pytest.approx(50.03, abs=0.01)
    assert skin.tones(image, face + 1) == pytest.approx((50.03 + 100) / 2, abs=0.01)


def test_darkest_and_lightest_people():
    level = np.array([50.0, 20.0, 60.0, 30.0, 10.0])
    people = ["a", "b", "c", "d", "a"]  # the second photo of a would be the darkest
    assert skin.extremes(level, people, 2) == ([1, 3], [2, 0])
    with pytest.raises(DataError, match="4 people"):
        skin.extremes(level, people, 3)


def test_shares_are_projections():
    whole = torch.tensor([[3.0, 4.0, 0.0]])
    weight = torch.tensor([[1.0, 1.0, 0.0]])
    assert skin.shares(0.3 * whole + torch.tensor([[4.0, -3.0, 9.0]]), whole, weight) == pytest.approx(0.3)


class Painter:
    """A model of which everything is known: L of its pictures is 50 + 5 of texture + 15 of illumination."""

    def render(self, codes: Codes, output: str) -> torch.Tensor:
        level = 50 + 5 * codes.texture[:, 0] + 15 * codes.illumination[:, 0]
        linear = ((level + 16) / 116) ** 3
        grey = 1.055 * linear ** (1 / 2.4) - 0.055
        return grey[:, None, None, None].expand(-1, 3, 8, 8)


def test_tone_shares_of_a_known_model():
    codes = {name: torch.zeros(4, size) for name, size in CODE_SIZES.items()}
    codes["texture"][:, 0] = codes["illumination"][:, 0] = torch.tensor([-1.0, -0.8, 0.9, 1.0])
    faces = SimpleNamespace(
        codes=Codes(**codes),
        faces=torch.ones(4, 1, 8, 8),
        people=list("abcd"),
        render=lambda codes: Painter().render(codes, "tensor"),
    )
    found, people = skin.tone_shares(faces, [0, 1], [3, 2])
    assert people == list("aabbddcc")
    np.testing.assert_allclose(found["texture"], 0.25, atol=1e-3)
    np.testing.assert_allclose(found["illumination"], 0.75, atol=1e-3)


def test_the_bundled_checkpoint(shards):
    """Codes of the same photo change nothing; relit photos are brighter where they should be."""
    faces = skin.Faces(FaceSep.from_pretrained(), ShardPhotos(shards, "val", 128), ["gsa_pif"])
    assert faces.people == ["a", "b"] and faces.sitters("london_frl") == [0, 1]
    normal = relight.head_normals(faces.sep.decoder, faces.codes)
    assert normal.norm(dim=1)[:, 16, 12:20] == pytest.approx(1, abs=1e-5)
    left, right = normal[:, 0, 16:20, 11:14].mean(), normal[:, 0, 16:20, 18:21].mean()
    assert left < -0.1 and right > 0.1  # cheeks look to their sides
    found, _ = skin.relit_shares(faces, [0])
    assert 0 < found["illumination"][0] < 1.2 and found["illumination"][0] > found["texture"][0]


@pytest.mark.slow
def test_script(shards, tmp_path):
    out = tmp_path / "eval.json"
    done = run(
        "skin.py", "--shards", shards, "--studio", "london_frl", "--count", 1, "--limit", 2, "--out", out
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tone, light = json.loads(out.read_text())["tables"]
    assert tone["title"] == "Skin tone by code (val crops)" and tone["rows"][0]["pairs"] == "london_frl"
    assert [row["pairs"] for row in light["rows"]] == ["relit", "photos of one person"]
    assert all(math.isfinite(tone["results"]["london_frl"][name]["value"]) for name in skin.COLOURS)
    few = run("skin.py", "--shards", shards, "--studio", "london_frl", "--count", 3)
    assert few.returncode == 2 and "too few" in few.stderr.splitlines()[-1]
