"""The small geometry behind detection, each against a second way of computing it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from facesep.camera import TEMPLATE_5, rotation_matrix
from facesep.faces.detector import (
    OVERLAP,
    POINTER_TEMPLATE,
    cut,
    distinct,
    guess,
    least_score,
    suppress,
    window_matrix,
)
from facesep.faces.networks import FINDER_STRIDE, Finder, Pointer
from facesep.faces.parsing import _BISENET_TO_CLASSES, CLASSES, head_mask
from facesep.faces.retinaface import yaw_from_points
from facesep.faces.types import Face

TEMPLATE = np.array(TEMPLATE_5)


@pytest.mark.parametrize("seed", range(4))
def test_the_window_is_the_least_squares_similarity(seed: int) -> None:
    """Four unknowns (a, b, x, y) by ``lstsq`` against the closed form in complex numbers."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 400, (5, 2))
    x, y = (POINTER_TEMPLATE * 112).T
    one, nil = np.ones(5), np.zeros(5)
    system = np.vstack((np.column_stack((x, -y, one, nil)), np.column_stack((y, x, nil, one))))
    a, b, right, down = np.linalg.lstsq(system, np.concatenate(points.T), rcond=None)[0]
    np.testing.assert_allclose(window_matrix(points), ((a, -b, right), (b, a, down)), atol=1e-9)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.7])
def test_a_window_shows_what_lies_there(scale: float) -> None:
    photo = Image.new("RGB", (700, 700), "black")
    ImageDraw.Draw(photo).ellipse((389, 329, 411, 351), fill="white")  # centre at (400.5, 340.5)
    angle = np.radians(25)
    linear = scale * np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    matrix = np.column_stack((linear, np.array((400.5, 340.5)) - linear @ (60.0, 50.0)))
    seen = cut(photo, matrix).astype(float)[..., 0]
    y, x = np.mgrid[0:112, 0:112] + 0.5
    centre = np.array(((seen * x).sum(), (seen * y).sum())) / seen.sum()
    np.testing.assert_allclose(centre, (60.0, 50.0), atol=0.12)


def test_a_window_beyond_the_photo_is_black() -> None:
    white = Image.new("RGB", (50, 50), "white")
    assert cut(white, np.array(((1.0, 0, 900), (0, 1.0, 900)))).max() == 0
    half = cut(white, np.array(((1.0, 0, -56), (0, 1.0, -31))))
    assert half[56, :50].max() == 0 and half[56, 62:100].min() > 250


def test_suppression_equals_the_plain_loop() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (40, 2))
    boxes, scores = np.hstack((corner, corner + rng.uniform(5, 40, (40, 2)))), rng.random(40)

    def same(a: np.ndarray, b: np.ndarray) -> bool:
        w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        if w <= 0 or h <= 0:
            return False
        one, two = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
        return w * h / (one + two - w * h) > OVERLAP or w * h > 0.75 * min(one, two)

    wanted: list[int] = []
    for index in sorted(range(40), key=lambda i: -scores[i]):
        if not any(same(boxes[index], boxes[other]) for other in wanted):
            wanted.append(index)
    assert suppress(boxes, scores) == wanted
    assert 1 < len(wanted) < 40


def test_guesses_that_settle_on_one_face_are_one() -> None:
    centres = np.array(((100.0, 100.0), (130.0, 100.0), (155.0, 100.0), (100.0, 400.0)))
    sizes, scores = np.array((80.0, 90.0, 100.0, 10.0)), np.array((0.9, 0.8, 0.7, 0.6))
    assert distinct(centres, sizes, scores) == [0, 2, 3]
    assert distinct(centres, sizes, scores[::-1]) == [3, 2, 0]


def test_tiny_faces_need_a_higher_score() -> None:
    np.testing.assert_allclose(least_score(np.array((8, 16, 24, 32, 300))), (0.8, 0.8, 0.65, 0.5, 0.5))


def test_the_finder_reads_boxes_from_its_maps() -> None:
    """A finder that says one thing: the box comes out where the maps put it, in pixels of the photo."""

    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            rows, columns = x.shape[-2] // FINDER_STRIDE, x.shape[-1] // FINDER_STRIDE
            centre = torch.full((1, rows, columns), -9.0)
            sides = torch.zeros(1, 4, rows, columns)
            centre[0, 5, 7] = 2.0
            centre[0, 5, 8] = 1.0  # a lower neighbour is no second face
            sides[0, :, 5, 7] = torch.tensor((2.0, 3.0, 1.0, 4.0)).log()
            return centre, sides

    photo = Image.new("RGB", (320, 240))
    wanted = np.array(((7.5 - 2) * 8, (5.5 - 3) * 8, (7.5 + 1) * 8, (5.5 + 4) * 8))
    (row,) = guess(Fixed(), photo, 640)
    np.testing.assert_allclose(row[:4], wanted, atol=1e-4)
    assert row[4] == pytest.approx(1 / (1 + np.exp(-2.0)))
    (row,) = guess(Fixed(), photo, 160)
    np.testing.assert_allclose(row[:4], 2 * wanted, atol=1e-4)


@pytest.mark.parametrize("yaw", [-60, -20, 0, 35, 60])
def test_yaw_of_a_turned_template(yaw: float) -> None:
    turn = rotation_matrix(torch.tensor((0.0, yaw, 0.0), dtype=torch.float64).deg2rad()).numpy()
    seen = 70 * (TEMPLATE @ turn.T)[:, :2] * (1, -1) + (100, 120)
    assert yaw_from_points(seen) == pytest.approx(yaw, abs=1e-6)


def test_roll_and_eye_distance_of_a_face() -> None:
    """The eye distance of a turned head is that of the head, not of its picture."""
    for yaw in (0.0, 50.0):
        turn = rotation_matrix(torch.tensor((0.0, yaw, 20.0), dtype=torch.float64).deg2rad()).numpy()
        face = Face((0, 0, 1, 1), 100 * (TEMPLATE @ turn.T)[:, :2] * (1, -1), 1.0, yaw)
        assert face.interocular == pytest.approx(100 * np.linalg.norm(TEMPLATE[0] - TEMPLATE[1]))
        if yaw == 0:
            assert face.roll == pytest.approx(-20.0, abs=0.2)


@pytest.mark.parametrize("yaw", [0.0, 40.0])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_stretch_of_a_squeezed_face(yaw: float, factor: float) -> None:
    """A turned template whose photo was squeezed has the factor; the turn alone does not count."""
    turn = rotation_matrix(torch.tensor((0.0, yaw, 0.0), dtype=torch.float64).deg2rad()).numpy()
    seen = 100 * (TEMPLATE @ turn.T)[:, :2] * (factor, -1)
    assert Face((0, 0, 1, 1), seen, 1.0, yaw).stretch == pytest.approx(factor, rel=0.01)


def test_the_points_are_the_mean_of_their_maps() -> None:
    """Integral regression: one hot cell puts the point at its centre, two equal ones halfway between."""
    pointer = Pointer().eval()
    wanted = torch.full((1, 5, 28, 28), -30.0)
    wanted[:, 0, 10, 6] = 30.0
    wanted[:, 1:, 20, 3] = wanted[:, 1:, 24, 9] = 30.0
    pointer.maps.register_forward_hook(lambda module, inputs, output: wanted)
    with torch.inference_mode():
        points = pointer(torch.zeros(1, 3, 112, 112))[0][0]
    torch.testing.assert_close(points[0], torch.tensor((6.5, 10.5)) / 28)
    torch.testing.assert_close(points[1:], (torch.tensor((6.5, 22.5)) / 28).expand(4, 2))


def test_networks_have_the_promised_shapes() -> None:
    with torch.inference_mode():
        centre, sides = Finder().eval()(torch.zeros(2, 3, 64, 96))
        points, yaw, face = Pointer().eval()(torch.zeros(3, 3, 112, 112))
    assert centre.shape == (2, 8, 12) and sides.shape == (2, 4, 8, 12)
    assert points.shape == (3, 5, 2) and yaw.shape == face.shape == (3,)
    assert ((points > 0) & (points < 1)).all()


def test_parser_classes() -> None:
    """BiSeNet's 17 is hair and its 1 skin; the head has neither neck nor hat nor earring."""
    assert CLASSES[_BISENET_TO_CLASSES[17]] == "hair" and CLASSES[_BISENET_TO_CLASSES[1]] == "skin"
    assert CLASSES[_BISENET_TO_CLASSES[18]] == "hat" and CLASSES[_BISENET_TO_CLASSES[6]] == "glasses"
    assert sorted(_BISENET_TO_CLASSES.tolist()) == list(range(19))
    mask = head_mask(np.arange(19)[None])
    assert [CLASSES[i] for i in np.flatnonzero(~mask[0])] == [
        "background", "hat", "earring", "necklace", "neck", "cloth",
    ]  # fmt: skip
