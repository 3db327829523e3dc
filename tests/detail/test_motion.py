"""Motion of skin by landmarks, and the mouth."""

from __future__ import annotations

import torch

from facesep.codes import CODE_SIZES, Codes
from facesep.detail.motion import height, move
from facesep.nets.landmarks import COUNT, LOWER_LIP, UPPER_LIP, LandmarkHead, mouth_curves


def face(opening: float = 0.0) -> torch.Tensor:
    """Landmarks all over a flat face; lips 0.5 dm wide at y = -0.35, open by some decimetres."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(1, COUNT, 3, generator=generator) * torch.tensor([1.2, 1.6, 0.0]) - torch.tensor(
        [0.6, 0.8, 0.0]
    )
    points[..., 1] = points[..., 1].abs() - 0.1  # none but those of the lips near the mouth
    x = torch.linspace(-0.25, 0.25, 11)
    bow = 1 - (x / 0.25) ** 2
    upper, lower = -0.35 + opening / 2 * bow, -0.35 - opening / 2 * bow
    points[0, :11, :2] = torch.stack((x, upper), -1)
    points[0, 11:20, :2] = torch.stack((x, lower), -1)[1:-1]
    points[0, 20:31, :2] = torch.stack((x, upper + 0.08 * bow), -1)
    points[0, 31:40, :2] = torch.stack((x, lower - 0.08 * bow), -1)[1:-1]
    points[..., 2] = 0.3
    return points


def grid(count: int = 64, z: float = 0.3) -> torch.Tensor:
    at = torch.linspace(-0.7, 0.7, count)
    y, x = torch.meshgrid(-at, at, indexing="ij")
    return torch.stack((x, y, torch.full_like(x, z)))[None]


def test_a_face_that_does_not_change_does_not_move():
    points = grid()
    moved = move(points, face(0.1), face(0.1))
    torch.testing.assert_close(moved.points, points, atol=1e-6, rtol=0)
    assert moved.shown.min() == 1  # its mouth shows what it shows


def test_a_face_that_moves_as_a_whole_moves_every_point_alike():
    shift = torch.tensor([0.02, -0.03, 0.01])
    points = grid()
    moved = move(points, face(), face() + shift)
    torch.testing.assert_close(
        moved.points - points, shift.view(1, 3, 1, 1).expand_as(points), atol=1e-4, rtol=0
    )


def test_landmarks_move_as_far_as_they_should():
    """A corner of the mouth is pulled with the skin around it: it goes all the way, what is far stays."""
    still = face()
    away = (still - still[:, 10:11]).norm(dim=-1, keepdim=True)
    pulled = still + torch.tensor([0.1, 0.1, 0.0]) * (-((away / 0.12) ** 2)).exp()
    points = still.mT.unsqueeze(-1).expand(-1, -1, -1, 4)
    offset = (move(points, still, pulled).points - points)[0, :, :, 0].mT
    torch.testing.assert_close(offset, (pulled - still)[0], atol=0.015, rtol=0)
    assert offset[away[0, :, 0] > 0.5].norm(dim=-1).max() < 0.005


def test_closing_lips_part_at_their_line():
    """The result's mouth is closed, the photo's open: above the line comes the upper lip, below the lower."""
    points = grid(128)
    moved = move(points, face(0.0), face(0.2))
    x, y = points[0, 0], points[0, 1]
    offset = (moved.points - points)[0, 1]
    near = (x.abs() < 0.06) & ((y + 0.35).abs() < 0.03) & ((y + 0.35).abs() > 0.012)
    above, below = offset[near & (y > -0.35)], offset[near & (y < -0.35)]
    assert above.min() > 0.05 and below.max() < -0.05


def test_an_opening_mouth_shows_what_the_photo_does_not():
    points = grid(128)
    opening, shut, same = face(0.2), face(0.0), face(0.2)
    x, y = points[:, :1], points[:, 1:2]
    inside = (x.abs() < 0.15) & ((y + 0.35).abs() < 0.04)
    from_shut, from_open = move(points, opening, shut), move(points, opening, same)
    assert from_shut.mouth[inside].min() > 0
    assert from_shut.mouth[(y + 0.35).abs() > 0.12].max() < 0
    assert from_shut.shown[inside].max() < 0.1
    assert from_open.shown[inside].min() == 1


def test_polylines_are_met_at_their_knots_and_between():
    curve = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [1.0, 1.0, 0.0]]])
    x = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0]).view(1, 1, 1, -1)
    wanted = torch.tensor([0.0, 0.0, 1.0, 2.0, 1.5, 1.0, 1.0]).view(1, 1, 1, -1)
    torch.testing.assert_close(height(curve, x), wanted)


def test_lips_meet_in_the_corners():
    upper, lower = mouth_curves(face(0.2))
    assert upper.shape == lower.shape == (1, 11, 3)
    torch.testing.assert_close(upper[:, [0, -1]], lower[:, [0, -1]])
    assert (upper[:, 1:-1, 1] > lower[:, 1:-1, 1]).all()
    assert not set(UPPER_LIP) & set(LOWER_LIP)


def test_the_landmark_head_is_linear_in_shape_and_expression():
    torch.manual_seed(0)
    head = LandmarkHead()
    values = {name: torch.randn(2, size) for name, size in CODE_SIZES.items()}
    a, b = Codes(**values), Codes(**{name: torch.randn(2, size) for name, size in CODE_SIZES.items()})
    middle = Codes.from_vector((a.vector() + b.vector()) / 2)
    torch.testing.assert_close(head(middle), (head(a) + head(b)) / 2)
    other = a.replace(texture=b.texture, illumination=b.illumination, hair=b.hair, rotation=b.rotation)
    torch.testing.assert_close(head(other), head(a))
