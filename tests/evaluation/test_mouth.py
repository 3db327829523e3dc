"""Mouth shapes: constructed faces, credited photos, and the contract with external tools."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from credited import crop_and_label, points

from facesep.data.portraits import IRISES, MOUTH_CORNERS
from facesep.errors import ConfigError
from facesep.evaluation.mouth import LIPS, ExternalTool, mouth_of_five, mouth_of_mesh

FACE = np.array([[0, 0], [10, 0], [5, 5], [2, 12], [8, 12.0]])


def moved(shape: np.ndarray, degrees: float = 25.0) -> np.ndarray:
    """Turned, scaled and shifted."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return 3.5 * shape @ turn.T + (40, -7)


def mesh(lips: np.ndarray) -> np.ndarray:
    """A mesh that has eyes 10 apart, a nose, and given lip points."""
    landmarks = np.zeros((478, 2))
    landmarks[list(IRISES)] = [[0, 0], [10, 0]]
    landmarks[4] = (5, 5)
    landmarks[list(LIPS)] = lips
    return landmarks


def test_five_points_by_hand():
    np.testing.assert_allclose(mouth_of_five(FACE), [0.6, 1.2])
    np.testing.assert_allclose(mouth_of_five(moved(FACE)), [0.6, 1.2])


def test_smiling_mouths_are_wider_and_higher():
    smile = FACE + [[0, 0], [0, 0], [0, 0], [-1, -0.5], [1, -0.5]]
    change = mouth_of_five(smile) - mouth_of_five(FACE)
    assert change[0] > 0 > change[1]


def test_a_smiling_photo_has_the_wider_mouth():
    smiling, calm = (mouth_of_five(points(name)) for name in ("gsa_smiling", "london_101"))
    assert smiling[0] > calm[0] + 0.05


def test_mesh_by_hand():
    lips = np.random.default_rng(0).normal((5, 12), 1, (20, 2))
    expected = ((lips - lips.mean(0)) / 10).ravel()
    np.testing.assert_allclose(mouth_of_mesh(mesh(lips)), expected)
    np.testing.assert_allclose(mouth_of_mesh(moved(mesh(lips))), expected, atol=1e-12)
    elsewhere = mesh(lips + (0, 3))  # the mouth as a whole is somewhere else
    elsewhere[list(IRISES)] = [[0, 0], [10, 0]]
    np.testing.assert_allclose(mouth_of_mesh(elsewhere), expected)
    assert {LIPS[0], LIPS[6]} == set(MOUTH_CORNERS)


TOOL = """
import sys
from pathlib import Path
import numpy as np
pictures = sorted(Path(sys.argv[1]).glob("*.png"))
landmarks = np.zeros((len(pictures), 478, 3))
landmarks[:, 473, 0] = 10.0
landmarks[:, 61, 0] = [int(p.stem) for p in pictures]
keep = [i for i, p in enumerate(pictures) if p.stem != "00001"]
np.savez(sys.argv[2], names=np.array([pictures[i].stem for i in keep]), landmarks=landmarks[keep])
"""


def test_external_tool(tmp_path):
    script = tmp_path / "tool with space.py"
    script.write_text(TOOL)
    images = [crop_and_label("london_101")[0]] * 3
    shapes = ExternalTool(f"{sys.executable} '{script}'").mouths(images)
    assert shapes.shape == (3, 40) and np.isnan(shapes[1]).all()
    np.testing.assert_allclose(shapes[0], 0)
    np.testing.assert_allclose(np.ptp(shapes[2, 0::2]), 0.2)  # the corner is 2 of 10 away


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('no model here')", "no model here"),
        ("pass", "no landmarks"),
        (TOOL.replace("478", "474"), "478 points"),
        (TOOL.replace("landmarks=landmarks[keep]", "landmarks=landmarks"), "478 points"),
        (TOOL.replace("names=", "labels="), "no landmarks"),
    ],
)
def test_external_tools_that_fail(tmp_path, code, message):
    (tmp_path / "tool.py").write_text(code)
    with pytest.raises(ConfigError, match=message):
        ExternalTool(f"{sys.executable} {tmp_path / 'tool.py'}").mouths([crop_and_label("london_101")[0]] * 2)
    with pytest.raises(ConfigError, match="no landmarks"):
        ExternalTool("no-such-command-anywhere").mouths([])
