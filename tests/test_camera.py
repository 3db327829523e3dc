"""The canonical frame against closed forms: rotations, poses, projection, rays and orbits."""

from __future__ import annotations

import math

import pytest
import torch

from facesep.camera import (
    CAMERA_DISTANCE,
    CENTRE_X,
    CENTRE_Y,
    FOCAL,
    TEMPLATE_5,
    WINDOW,
    WINDOW_CENTRE_Y,
    euler_angles,
    orbit_path,
    project,
    rays,
    rotation_matrix,
    slerp_rotation,
    to_head,
)
from facesep.errors import ConfigError

DTYPE = torch.float64


def random_angles(count: int, seed: int = 0, most: float = 1.4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 3, generator=generator, dtype=DTYPE) * 2 - 1) * most


def about(axis: str, angle: float) -> torch.Tensor:
    """Right-handed rotation about one axis, written out."""
    c, s = math.cos(angle), math.sin(angle)
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    return torch.tensor(rows, dtype=DTYPE)


def exponential(axis: torch.Tensor, angle: float) -> torch.Tensor:
    """Rotation about any axis by the matrix exponential of its generator."""
    x, y, z = (axis / axis.norm()).tolist()
    return torch.matrix_exp(angle * torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=DTYPE))


def turn_between(a: torch.Tensor, b: torch.Tensor) -> float:
    """Angle of the rotation from a to b."""
    cosine = ((a.T @ b).trace() - 1) / 2
    return math.acos(max(-1.0, min(1.0, float(cosine))))


# -- rotations --------------------------------------------------------------------------------------


def test_rotation_is_the_product_of_three():
    angles = random_angles(50)
    for one, matrix in zip(angles.tolist(), rotation_matrix(angles), strict=True):
        product = about("z", one[2]) @ about("y", one[1]) @ about("x", one[0])
        assert torch.allclose(matrix, product, atol=1e-14)


@pytest.mark.parametrize(
    ("angles", "point", "expected"),
    [
        ((math.pi / 2, 0, 0), (0, 1, 0), (0, 0, 1)),  # positive pitch: the crown comes forward
        ((0, math.pi / 2, 0), (0, 0, 1), (1, 0, 0)),  # positive yaw: the nose points to image right
        ((0, 0, math.pi / 2), (1, 0, 0), (0, 1, 0)),  # positive roll: counter-clockwise for the viewer
    ],
)
def test_directions_of_the_angles(angles, point, expected):
    moved = rotation_matrix(torch.tensor(angles, dtype=DTYPE)) @ torch.tensor(point, dtype=DTYPE)
    assert torch.allclose(moved, torch.tensor(expected, dtype=DTYPE), atol=1e-12)


def test_rotations_are_proper():
    matrices = rotation_matrix(random_angles(100, most=10.0))
    eye = torch.eye(3, dtype=DTYPE).expand_as(matrices)
    assert torch.allclose(matrices @ matrices.transpose(-1, -2), eye, atol=1e-12)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(100, dtype=DTYPE))


def test_angles_round_trip():
    angles = random_angles(200, most=1.0) * torch.tensor([3.1, 1.57, 3.1], dtype=DTYPE)
    assert torch.allclose(euler_angles(rotation_matrix(angles)), angles, atol=1e-9)
    batched = angles.reshape(10, 20, 3)
    assert torch.allclose(euler_angles(rotation_matrix(batched)), batched, atol=1e-9)


def test_angles_beyond_profile_give_the_same_rotation():
    matrix = rotation_matrix(random_angles(100, most=3.1))
    assert torch.allclose(rotation_matrix(euler_angles(matrix)), matrix, atol=1e-9)


def test_rotation_gradients():
    angles = random_angles(3).requires_grad_()
    assert torch.autograd.gradcheck(rotation_matrix, angles)
    assert torch.autograd.gradcheck(lambda a: euler_angles(rotation_matrix(a)), angles)


# -- the way between two rotations ------------------------------------------------------------------


def test_slerp_ends_and_middle():
    a, b = rotation_matrix(random_angles(20, 1)), rotation_matrix(random_angles(20, 2))
    assert torch.allclose(slerp_rotation(a, b, 0.0), a, atol=1e-12)
    assert torch.allclose(slerp_rotation(a, b, 1.0), b, atol=1e-9)
    middle = slerp_rotation(a, b, 0.5)
    for first, half, last in zip(a, middle, b, strict=True):
        whole = turn_between(first, last)
        assert turn_between(first, half) == pytest.approx(whole / 2, abs=1e-7)
        assert turn_between(half, last) == pytest.approx(whole / 2, abs=1e-7)
        assert torch.allclose(first @ (first.T @ half) @ (first.T @ half), last, atol=1e-9)


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 0.5, 3.0, math.pi - 1e-4])
@pytest.mark.parametrize("amount", [0.25, 0.5, 0.9, 1.5])
def test_slerp_follows_the_matrix_exponential(angle, amount):
    start = rotation_matrix(random_angles(1, 3)[0])
    axis = torch.tensor([0.3, -0.7, 0.5], dtype=DTYPE)
    found = slerp_rotation(start, start @ exponential(axis, angle), amount)
    assert torch.allclose(found, start @ exponential(axis, angle * amount), atol=1e-7)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slerp_of_half_a_turn(axis, dtype):
    """Both ways round are shortest; it must take one of them to the end."""
    a, b = torch.eye(3, dtype=dtype), about(axis, math.pi).to(dtype)
    assert torch.allclose(slerp_rotation(a, b, 1.0), b, atol=1e-5)
    assert turn_between(a, slerp_rotation(a, b, 0.5)) == pytest.approx(math.pi / 2, abs=1e-3)


# -- the camera -------------------------------------------------------------------------------------


def test_constants_are_those_of_the_window():
    """A window 2.8 dm wide at 10 dm, centred on y = +0.25 dm."""
    assert (CAMERA_DISTANCE, WINDOW, WINDOW_CENTRE_Y) == (10.0, 2.8, 0.25)
    assert pytest.approx(3.571, abs=5e-4) == FOCAL
    assert (CENTRE_X, pytest.approx(0.5893, abs=5e-5)) == (0.5, CENTRE_Y)
    still = torch.zeros(1, 3, dtype=DTYPE)
    corners = torch.tensor(
        [[-1.4, 1.65, 0.0], [1.4, 1.65, 0.0], [-1.4, -1.15, 0.0], [0, 0.25, 0]], dtype=DTYPE
    )
    pixels = project(corners, still, still, 256)[0]
    expected = [[0, 0, 10], [256, 0, 10], [0, 256, 10], [128, 128, 10]]
    assert torch.allclose(pixels, torch.tensor(expected, dtype=DTYPE), atol=1e-9)


def test_projection_is_the_pinhole():
    points = torch.randn(7, 3, dtype=DTYPE, generator=torch.Generator().manual_seed(0)) * 0.5
    angles, shift = random_angles(4, 5, 0.5), random_angles(4, 6, 0.3)
    found = project(points, angles, shift, 512)
    for i in range(4):
        one = about("z", angles[i, 2]) @ about("y", angles[i, 1]) @ about("x", angles[i, 0])
        for j in range(7):
            x, y, z = (one @ points[j] + shift[i]).tolist()
            depth = 10 - z
            focal = 512 * 10 / 2.8
            expected = (256 + focal * x / depth, 512 * (0.5 + 0.25 / 2.8) - focal * y / depth, depth)
            assert found[i, j].tolist() == pytest.approx(expected)
    each = project(points.expand(4, 7, 3), angles, shift, 512)
    assert torch.equal(each, found)


def test_template_looks_like_a_face():
    pixels = project(torch.tensor(TEMPLATE_5), torch.zeros(1, 3), torch.zeros(1, 3), 256)[0]
    left_eye, right_eye, nose, left_mouth, right_mouth = pixels[:, :2].tolist()
    assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1] and abs(left_eye[1] - right_eye[1]) < 1


def test_pose_is_the_inverse_of_the_head_motion():
    angles, shift = random_angles(6, 7), random_angles(6, 8, 0.5)
    axes, origin = to_head(angles, shift)
    matrix = rotation_matrix(angles)
    camera = torch.tensor([0.0, 0.0, 10.0], dtype=DTYPE)
    back = (matrix @ origin[..., None])[..., 0] + shift
    assert torch.allclose(back, camera.expand(6, 3), atol=1e-12)
    forward = (matrix @ axes)[..., 2]  # the viewing direction in the world
    assert torch.allclose(forward, torch.tensor([0.0, 0.0, -1.0], dtype=DTYPE).expand(6, 3), atol=1e-12)
    assert torch.allclose(torch.linalg.det(axes), torch.ones(6, dtype=DTYPE))


@pytest.mark.parametrize("size", [8, 32])
def test_points_on_a_ray_project_to_its_pixel_centre(size):
    angles, shift = random_angles(3, 9, 0.6), random_angles(3, 10, 0.4)
    origins, directions = rays(angles, shift, size)
    assert origins.shape == (3, 1, 3) and directions.shape == (3, size * size, 3)
    assert torch.allclose(directions.norm(dim=-1), torch.ones(3, size * size, dtype=DTYPE))
    row, column = torch.meshgrid(*[torch.arange(size, dtype=DTYPE)] * 2, indexing="ij")
    centres = torch.stack((column, row), -1).reshape(-1, 2) + 0.5
    for distance in (8.0, 10.0, 12.0):
        pixels = project(origins + distance * directions, angles, shift, size)
        assert torch.allclose(pixels[..., :2], centres.expand(3, -1, 2), atol=1e-9)
        assert (pixels[..., 2] > 0).all()


def test_coarse_rays_lie_between_fine_ones():
    """The centre of a cell of the 8-grid is the mean of the 2 x 2 pixels of the 16-grid in the plane."""
    angles, shift = random_angles(1, 11, 0.4), random_angles(1, 12, 0.2)
    axes, _ = to_head(angles, shift)

    def plane(count):
        direction = rays(angles, shift, count)[1] @ axes
        return (direction[..., :2] / direction[..., 2:]).reshape(count, count, 2)

    fine = plane(16).reshape(8, 2, 8, 2, 2).mean((1, 3))
    assert torch.allclose(plane(8), fine, atol=1e-12)


def test_dtype_is_kept():
    for dtype in (torch.float32, torch.float64):
        zero = torch.zeros(1, 3, dtype=dtype)
        assert {t.dtype for t in (*rays(zero, zero, 4), project(zero, zero, zero, 4))} == {dtype}


# -- orbits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [2, 12, 60])
def test_orbit_closes_without_a_seam(frames):
    path = orbit_path(frames, yaw=40, pitch=8)
    assert path.shape == (frames, 3) and torch.equal(path[0], torch.zeros(3))
    phase = torch.arange(frames) * 2 * math.pi / frames
    assert torch.allclose(path[:, 1], math.radians(40) * phase.sin(), atol=1e-6)
    assert torch.allclose(path[:, 0], math.radians(8) * (2 * phase).sin(), atol=1e-6)
    assert not path[:, 2].any()


def test_orbit_reaches_its_angles_on_both_sides():
    path = orbit_path(60, yaw=40, pitch=8).rad2deg()
    assert float(path[:, 1].max()) == pytest.approx(40, abs=1e-4)
    assert float(path[:, 1].min()) == pytest.approx(-40, abs=1e-4)
    steps = (path.roll(-1, 0) - path).norm(dim=-1)
    assert float(steps[-1]) == pytest.approx(float(steps[0]), rel=1e-3)


def test_wrong_orbits():
    for options in ({"frames": 1}, {"frames": 10, "yaw": 81}, {"frames": 10, "pitch": float("nan")}):
        with pytest.raises(ConfigError):
            orbit_path(**options)
