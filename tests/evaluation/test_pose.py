"""Head poses of renders: rotations by hand, and the whole path with a tool that reads what it should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from facesep.camera import rotation_matrix
from facesep.codes import CODE_SIZES, Codes
from facesep.errors import CheckpointError
from facesep.evaluation import pose
from facesep.nets.official.tddfa import CROP, PARAMETERS, Tddfa, rotation

SIDE = 24


def turns(*degrees: tuple[float, float, float]) -> torch.Tensor:
    """Rotation matrices of (pitch, yaw, roll)."""
    return rotation_matrix(torch.deg2rad(torch.tensor(degrees, dtype=torch.float64)))


def some(count: int, seed: int = 0) -> torch.Tensor:
    """Angles in radians, up to some 20 degrees."""
    return 0.35 * torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) - 0.17


def test_rotation_in_a_camera_matrix():
    expected = turns((5, -20, 3), (0, 40, -8))
    camera = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    camera[:, :2, :3] = 4.2e-4 * expected[:, :2]
    rest = torch.randn(2, PARAMETERS - 12, dtype=torch.float64)
    torch.testing.assert_close(rotation(torch.cat((camera.flatten(1), rest), 1)), expected)
    camera[:, 1, :3] += 0.3 * camera[:, 0, :3]  # rows that are not at right angles still give a rotation
    found = rotation(torch.cat((camera.flatten(1), rest), 1))
    torch.testing.assert_close(found @ found.mT, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    torch.testing.assert_close(found, expected)


def test_angles_between_rotations():
    straight = turns((0, 0, 0)).expand(4, 3, 3)
    found = pose.angle_between(straight, turns((0, 30, 0), (-7, 0, 0), (0, 0, 0), (0, 0.001, 0)))
    torch.testing.assert_close(found, torch.tensor([30, 7, 0, 0.001], dtype=torch.float64))
    assert pose.angle_between(turns((0, 0, 90)), turns((0, 0, -90))).item() == pytest.approx(180)


def test_the_constant_turn_is_found():
    truth, offset = rotation_matrix(some(50)).double(), turns((4, -3, 2))[0]
    torch.testing.assert_close(pose.constant_turn(truth, truth @ offset), offset)
    noisy = truth @ offset @ rotation_matrix(0.1 * some(50, 1).double())
    assert pose.angle_between(pose.constant_turn(truth, noisy)[None], offset[None]).item() < 1


def test_errors_by_hand():
    found = pose.errors(turns((1, 10, 0), (0, 0, 5)), turns((3, 10, 0), (0, 0, 9)))
    np.testing.assert_allclose(found.turn, [2, 4], atol=1e-6)
    np.testing.assert_allclose(found.angles["pitch"], [2, 0], atol=1e-6)
    np.testing.assert_allclose(found.angles["roll"], [0, 4], atol=1e-6)


def test_the_window_on_the_face():
    """White beyond the edge; a dot at the middle of the window comes out in its middle."""
    x, y, size = pose.FACE_BOX
    images = torch.ones(1, 3, 256, 256)
    row, column = round((y + pose.BOX_DOWN * size) * 256), round(x * 256)
    images[..., row - 4 : row + 4, column - 4 : column + 4] = 0
    crop = pose.face_crop(images)
    assert crop.shape == (1, 3, CROP, CROP)
    dark = (crop[0, 0] < 0.5).nonzero().float()
    torch.testing.assert_close(dark.mean(0) + 0.5, torch.full((2,), CROP / 2), atol=0.7, rtol=0)
    assert crop[0, :, -4:].min() == 1 and pose.face_crop(torch.zeros(1, 3, 64, 64))[0, :, -4:].min() == 1


class World:
    """A model that paints the rotation of its codes, and a tool that reads it, turned by a constant."""

    name = "oracle"
    offset = turns((2, 1, 0))[0].float()

    def render(self, codes: Codes, yaw: float | None, output: str) -> torch.Tensor:
        angles = codes.rotation.clone()
        if yaw is not None:
            angles[:, 1] = math.radians(yaw * self.share)
        return self.paint(angles)

    def paint(self, angles: torch.Tensor) -> torch.Tensor:
        image = torch.zeros(len(angles), 3, SIDE, SIDE)
        image[:, 0, :3, :3] = (rotation_matrix(angles) + 1) / 2
        return image

    def rotations(self, images: torch.Tensor) -> torch.Tensor:
        return (2 * images[:, 0, :3, :3] - 1) @ self.offset

    def __init__(self, share: float) -> None:
        self.share = share


@pytest.mark.parametrize("share", [1.0, 0.8])
def test_the_whole_path(share):
    """A model that turns heads 0.8 times as far is 6 degrees off at 30, and right otherwise."""
    world, angles = World(share), some(9)
    vectors = torch.zeros(9, sum(CODE_SIZES.values()))
    vectors[:, -6:-3] = angles
    found, offset = pose.measure(world, Codes.from_vector(vectors), world.paint(angles), angles, world)
    assert offset == pytest.approx(math.hypot(2, 1), abs=0.01)
    assert list(found) == ["photos", "own pose", "yaw 0", "yaw -30", "yaw +30"]
    summary = pose.summarise(found, [f"p{k // 2}" for k in range(9)])
    wrong = 30 * (1 - share)
    for view, expected in zip(found, (0, 0, 0, wrong, wrong), strict=True):
        assert summary[view]["turn"].value == pytest.approx(expected, abs=0.02), view
    row = pose.rows(summary)[-1]
    assert row["view"] == "yaw +30" and row["turn"].startswith(f"{wrong:.1f} ("), row


def test_network_files(tmp_path):
    net = Tddfa()
    torch.nn.init.normal_(net.param_mean)
    path = tmp_path / "net.safetensors"
    save_file(net.state_dict(), str(path))
    tool = pose.TddfaPose(path)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = tool.rotations(images)
    assert found.shape == (3, 3, 3)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(3))
    seen = []
    tool.net.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tool.rotations(images)
    torch.testing.assert_close(seen[0], (pose.face_crop(images)[:, [2, 1, 0]] * 255 - 127.5) / 128)  # BGR
    save_file({"fc.weight": torch.zeros(2)}, str(path))
    for bad in (path, tmp_path / "missing.safetensors"):
        with pytest.raises(CheckpointError, match="mb05_120x120"):
            Tddfa.from_file(bad)
