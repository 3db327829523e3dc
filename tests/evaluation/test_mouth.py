"""Mouth shapes: constructed faces, credited photos, and the contract with external tools."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from credited import crop_and_label, points
from PIL import Image

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
keep = [i for i, p in enumerate(pictures) if p.stem != "00001"][::-1]  # in an order of its own
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
        (TOOL.replace("landmarks=landmarks[keep]", "landmarks=landmarks"), "2 landmarks for 1 names"),
        (TOOL.replace("names=", "labels="), "no landmarks"),
        (TOOL.replace(".stem for i", ".stem + '9' for i"), "1 landmarks for 1 names"),
    ],
)
def test_external_tools_that_fail(tmp_path, code, message):
    (tmp_path / "tool.py").write_text(code)
    with pytest.raises(ConfigError, match=message):
        ExternalTool(f"{sys.executable} {tmp_path / 'tool.py'}").mouths([crop_and_label("london_101")[0]] * 2)
    with pytest.raises(ConfigError, match="no landmarks"):
        ExternalTool("no-such-command-anywhere").mouths([])


FAKE_MEDIAPIPE = """
from types import SimpleNamespace as Names
class FaceMesh:
    def __init__(self, static_image_mode, refine_landmarks):
        assert static_image_mode and refine_landmarks
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def process(self, image):
        assert image.shape == (512, 512, 3)
        if image.mean() > 250:
            return Names(multi_face_landmarks=None)
        points = [Names(x=0.001 * i, y=0.5, z=0.0) for i in range(478)]
        return Names(multi_face_landmarks=[Names(landmark=points)])
solutions = Names(face_mesh=Names(FaceMesh=FaceMesh))
"""


def test_the_documented_script_keeps_the_contract(tmp_path):
    """With a stand-in for MediaPipe that finds a face in everything that is not white."""
    document = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text()
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", document, re.DOTALL) if "mediapipe" in block
    )
    (tmp_path / "marks.py").write_text(code)
    (tmp_path / "mediapipe.py").write_text(FAKE_MEDIAPIPE)
    images = [crop_and_label("london_101")[0], Image.new("RGB", (64, 64), "white")]
    shapes = ExternalTool(f"{sys.executable} {tmp_path / 'marks.py'}").mouths(images)
    lips = np.array(LIPS) / 5.0  # the irises, points 468 and 473, are five points apart
    np.testing.assert_allclose(shapes[0, 0::2], lips - lips.mean(), atol=1e-6)
    assert np.isnan(shapes[1]).all()
