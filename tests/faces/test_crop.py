"""The canonical crop against a second formula, and against real photos seen through the camera."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from facesep.camera import CENTRE_X, CENTRE_Y, TEMPLATE_5, WINDOW, project, rotation_matrix
from facesep.errors import FaceError
from facesep.faces.crop import Crop, fit_scale_offset

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
TRUTH = json.loads((PHOTOS / "landmarks.json").read_text())
TEMPLATE = np.array(TEMPLATE_5)


def normal_equations(points: np.ndarray) -> tuple[float, np.ndarray]:
    """The same fit as 8 unknowns in one system, x and y interleaved, by the normal equations."""
    system, wanted = np.zeros((10, 8)), points.reshape(-1)
    system[0::2, 0:3], system[0::2, 3] = TEMPLATE, 1
    system[1::2, 4:7], system[1::2, 7] = TEMPLATE, 1
    k = np.linalg.inv(system.T @ system) @ (system.T @ wanted)
    scale = (np.sqrt(k[0:3] @ k[0:3]) + np.sqrt(k[4:7] @ k[4:7])) / 2
    return float(scale), np.array((k[3], k[7]))


def random_points(rng: np.random.Generator) -> np.ndarray:
    flat = TEMPLATE[:, :2] * (1, -1) * rng.uniform(20, 300) + rng.uniform(0, 500, 2)
    return flat + rng.normal(0, 3, (5, 2))


@pytest.mark.parametrize("seed", range(5))
def test_fit_equals_the_normal_equations(seed: int) -> None:
    points = random_points(np.random.default_rng(seed))
    scale, offset = fit_scale_offset(points)
    other_scale, other_offset = normal_equations(points)
    assert scale == pytest.approx(other_scale, rel=1e-6)
    np.testing.assert_allclose(offset, other_offset, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (10, 25, -15), (-5, -50, 30)])
def test_fit_recovers_an_orthographic_view(degrees: tuple[float, float, float]) -> None:
    """A rotated template seen from far away: the rows of the fit are rows of a rotation, of length one."""
    turn = rotation_matrix(torch.tensor(degrees, dtype=torch.float64).deg2rad()).numpy()
    seen = 83.0 * (TEMPLATE @ turn.T)[:, :2] * (1, -1) + (210.0, 175.0)
    scale, offset = fit_scale_offset(seen)
    assert scale == pytest.approx(83.0, rel=1e-9)
    np.testing.assert_allclose(offset, (210.0, 175.0), atol=1e-7)


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_points_go_there_and_back(size: int) -> None:
    rng = np.random.default_rng(1)
    crop, points = Crop.from_points(random_points(rng)), rng.uniform(-100, 900, (7, 2))
    np.testing.assert_allclose(crop.to_photo(crop.to_canonical(points, size), size), points, atol=1e-9)
    corners = np.array(((crop.left, crop.top), (crop.left + crop.side, crop.top + crop.side)))
    np.testing.assert_allclose(crop.to_canonical(corners, size), ((0, 0), (size, size)), atol=1e-9)


def test_the_origin_of_the_head_lands_on_the_principal_point() -> None:
    points = random_points(np.random.default_rng(2))
    crop, (scale, offset) = Crop.from_points(points), fit_scale_offset(points)
    np.testing.assert_allclose(crop.to_canonical(offset[None], 256)[0], (256 * CENTRE_X, 256 * CENTRE_Y))
    assert crop.side / scale == pytest.approx(WINDOW, rel=0.006)


def smooth_photo(rng: np.random.Generator, side: int) -> Image.Image:
    noise = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    return noise.resize((side, side), Image.BICUBIC)


def test_a_moved_photo_gives_the_same_crop() -> None:
    """Translation by whole pixels: equal bytes. Enlargement: equal up to resampling."""
    rng = np.random.default_rng(3)
    photo, points = smooth_photo(rng, 300), TEMPLATE[:, :2] * (60, -60) + (150, 160)
    plain = Crop.from_points(points).apply(photo, 96)
    canvas = Image.new("RGB", (420, 400), "white")
    canvas.paste(photo, (50, 30))
    moved = Crop.from_points(points + (50, 30)).apply(canvas, 96)
    assert np.abs(np.asarray(plain, int) - np.asarray(moved, int)).max() <= 1
    large = Crop.from_points(points * 2).apply(photo.resize((600, 600), Image.BICUBIC), 96)
    assert np.abs(np.asarray(plain, int) - np.asarray(large, int)).max() <= 3


def test_a_marked_pixel_lands_where_the_points_say() -> None:
    photo = Image.new("RGB", (400, 400), "black")
    points = TEMPLATE[:, :2] * (80, -80) + (200, 220)
    ImageDraw.Draw(photo).rectangle((150, 240, 159, 249), fill="white")  # covers [150, 160) x [240, 250)
    crop = Crop.from_points(points)
    seen = np.asarray(crop.apply(photo, 512).convert("L"), float)
    y, x = np.mgrid[0:512, 0:512] + 0.5
    centre = np.array(((seen * x).sum(), (seen * y).sum())) / seen.sum()
    np.testing.assert_allclose(centre, crop.to_canonical(np.array(((155.0, 245.0),)), 512)[0], atol=0.1)


def test_beyond_the_border_is_white() -> None:
    photo = Image.new("RGB", (100, 100), "black")
    points = TEMPLATE[:, :2] * (60, -60) + (10, 50)
    seen = np.asarray(Crop.from_points(points).apply(photo, 64))
    assert (seen[:, 0] == 255).all() and (seen[32, 60] == 0).all()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_beyond_the_border_its_pixels_are_repeated(mode: str) -> None:
    """Stripes that end at the left border go on beyond it."""
    stripes = np.repeat(np.arange(100, dtype=np.uint8)[:, None] * 2, 100, 1)
    photo = Image.fromarray(stripes).convert(mode)
    crop = Crop.from_points(TEMPLATE[:, :2] * (30, -30) + (5, 50))
    assert crop.left < -20 and crop.top > 0 and crop.top + crop.side < 100
    seen = np.asarray(crop.apply(photo, 64, fill=None)).astype(int)
    assert np.abs(seen - seen[:, -1:]).max() <= 1


def test_useless_points_are_refused() -> None:
    for points in (np.full((5, 2), 7.0), np.full((5, 2), np.nan), np.zeros((4, 2))):
        with pytest.raises(FaceError):
            Crop.from_points(points)
    with pytest.raises(FaceError, match="outside"):
        Crop.from_points(TEMPLATE[:, :2] * (60, -60) - 5000).apply(Image.new("RGB", (50, 50)), 32)


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_the_camera_sees_the_template_where_the_photo_shows_the_face(name: str) -> None:
    """The canonical camera, with a pose fitted by Gauss-Newton, explains the points of real photos.

    Six unknowns (rotation, translation) for ten numbers. People differ from the mean head, so a few
    percent of the interocular distance remain; a smile widens the mouth and adds a few more.
    """
    truth = np.array(TRUTH[name]["points"])
    goal = torch.tensor(Crop.from_points(truth).to_canonical(truth, 256))
    template, pose = torch.tensor(TEMPLATE_5, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)

    def seen(values: torch.Tensor) -> torch.Tensor:
        return project(template, values[None, :3], values[None, 3:], 256)[0, :, :2].reshape(-1)

    for _ in range(30):
        slope = torch.autograd.functional.jacobian(seen, pose)
        system = slope.T @ slope + 1e-3 * torch.eye(6, dtype=torch.float64)
        pose = pose + torch.linalg.solve(system, slope.T @ (goal.reshape(-1) - seen(pose)))
    interocular = 256 * np.linalg.norm(TEMPLATE[0] - TEMPLATE[1]) / WINDOW
    error = (seen(pose).reshape(5, 2) - goal).norm(dim=-1).mean() / interocular
    smiles = name in ("gsa_smiling.jpg", "london_099.jpg")
    assert error < (0.12 if smiles else 0.045)
    assert abs(np.degrees(pose[1].item()) - TRUTH[name]["yaw"]) < 5
    assert pose[3:].abs().max() < 1.0  # the crop already puts the head near the origin, at its scale
