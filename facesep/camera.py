"""The canonical frame: head pose, perspective camera, rays and orbit paths.

World: x right, y up, z toward the viewer, in decimetres. The camera stands at (0, 0, 10) and looks at
the origin. A head point ``p`` lies at ``R p + t`` in the world, with ``R = Rz Ry Rx`` of (pitch, yaw,
roll) in radians. The canonical image is a square of S pixels that is 2.8 dm wide in the plane of the
origin and centred on y = +0.25 dm; pixel i covers [i, i + 1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facesep.checks import number, whole
from facesep.constants import constant
from facesep.precision import full_precision

CAMERA_DISTANCE = 10.0
WINDOW = 2.8
WINDOW_CENTRE_Y = 0.25
FOCAL = CAMERA_DISTANCE / WINDOW
"""Focal length as a multiple of the image size (3.571)."""
CENTRE_X = 0.5
CENTRE_Y = 0.5 + WINDOW_CENTRE_Y / WINDOW
"""Principal point as multiples of the image size (0.5, 0.5893)."""

MOST_FRAMES = 18_000
"""Most frames of an orbit: ten minutes at 30 per second."""

TEMPLATE_5 = (
    (-0.3114865720, 0.2903607786, 0.1337795258),
    (0.3097988665, 0.2897203565, 0.1317952573),
    (0.0032534988, -0.0461793244, 0.5524424315),
    (-0.2521692812, -0.3813391626, 0.2240573168),
    (0.2484661937, -0.3812823594, 0.2223576903),
)
"""Eyes, nose tip and mouth corners of the mean head in its own frame (image left first)."""


def rotation_matrix(angles: Tensor) -> Tensor:
    """Euler angles to rotation matrices, ``R = Rz Ry Rx``.

    Args:
        angles: ``Tensor[..., 3]``, (pitch, yaw, roll) in radians.

    Returns:
        ``Tensor[..., 3, 3]``; column vectors are rotated as ``R @ p``.
    """
    cx, cy, cz = angles.cos().unbind(-1)
    sx, sy, sz = angles.sin().unbind(-1)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def euler_angles(matrix: Tensor) -> Tensor:
    """The inverse of ``rotation_matrix`` for yaw within (-90, 90) degrees.

    Args:
        matrix: ``Tensor[..., 3, 3]``.

    Returns:
        ``Tensor[..., 3]``, (pitch, yaw, roll) in radians.
    """
    pitch = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    yaw = torch.asin((-matrix[..., 2, 0]).clamp(-1, 1))
    roll = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return torch.stack((pitch, yaw, roll), -1)


@full_precision
def slerp_rotation(a: Tensor, b: Tensor, amount: float) -> Tensor:
    """The rotation a fraction ``amount`` of the way along the shortest turn from ``a`` to ``b``.

    Args:
        a: ``Tensor[..., 3, 3]``.
        b: ``Tensor[..., 3, 3]``.
        amount: 0 gives ``a``, 1 gives ``b``.
    """
    turn = a.transpose(-1, -2) @ b
    axis = torch.stack(
        (
            turn[..., 2, 1] - turn[..., 1, 2],
            turn[..., 0, 2] - turn[..., 2, 0],
            turn[..., 1, 0] - turn[..., 0, 1],
        ),
        -1,
    )  # 2 sin(angle) times the unit axis
    trace = turn.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    angle = torch.atan2(axis.norm(dim=-1, keepdim=True), trace - 1) * amount
    unit = axis / axis.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    unit = torch.where(trace < 0, _axis_of_large_turn(turn, trace, axis), unit)
    zero = torch.zeros_like(unit[..., 0])
    x, y, z = unit.unbind(-1)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    eye = torch.eye(3, dtype=a.dtype, device=a.device)
    angle = angle[..., None]
    return a @ (eye + angle.sin() * skew + (1 - angle.cos()) * skew @ skew)


def _axis_of_large_turn(turn: Tensor, trace: Tensor, axis: Tensor) -> Tensor:
    """Unit axis of turns beyond 120 degrees, where the antisymmetric part fades towards half a turn.

    The symmetric part is ``cos I + (1 - cos) u u^T``; the longest column of ``u u^T`` gives ``u`` up to
    its sign, and ``axis`` the sign.
    """
    cosine = ((trace - 1) / 2)[..., None].clamp(max=0.5)
    eye = torch.eye(3, dtype=turn.dtype, device=turn.device)
    outer = ((turn + turn.transpose(-1, -2)) / 2 - cosine * eye) / (1 - cosine)
    longest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1, keepdim=True)
    column = outer.gather(-1, longest[..., None, :].expand(*outer.shape[:-1], 1))[..., 0]
    unit = column / column.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return torch.where((unit * axis).sum(-1, keepdim=True) < 0, -unit, unit)


@full_precision
def to_head(rotation: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
    """Camera-to-head pose of the canonical camera.

    Args:
        rotation: ``Tensor[B, 3]``, radians.
        translation: ``Tensor[B, 3]``, decimetres.

    Returns:
        ``(axes, origin)``: ``Tensor[B, 3, 3]`` takes camera directions (x right, y down, z forward) to
        the head frame, ``R^T diag(1, -1, -1)``; ``Tensor[B, 3]`` is the camera centre there,
        ``R^T ((0, 0, 10) - t)``.
    """
    inverse = rotation_matrix(rotation).transpose(-1, -2)
    flip = constant((1.0, -1.0, -1.0), inverse)
    centre = constant((0.0, 0.0, CAMERA_DISTANCE), inverse)
    return inverse * flip, (inverse @ (centre - translation)[..., None])[..., 0]


@full_precision
def project(points: Tensor, rotation: Tensor, translation: Tensor, size: float) -> Tensor:
    """Projects head points into the canonical image.

    Args:
        points: ``Tensor[N, 3]`` or ``Tensor[B, N, 3]`` in the head frame, decimetres.
        rotation: ``Tensor[B, 3]``, radians.
        translation: ``Tensor[B, 3]``, decimetres.
        size: side of the image in pixels.

    Returns:
        ``Tensor[B, N, 3]``: x (right) and y (down) in pixels, and the depth in front of the camera.
    """
    world = points @ rotation_matrix(rotation).transpose(-1, -2) + translation[:, None]
    x, y, z = world.unbind(-1)
    depth = CAMERA_DISTANCE - z
    return torch.stack(
        (size * (CENTRE_X + FOCAL * x / depth), size * (CENTRE_Y - FOCAL * y / depth), depth), -1
    )


@full_precision
def rays(rotation: Tensor, translation: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """One ray through the centre of each cell of a ``count x count`` grid over the canonical image.

    Args:
        rotation: ``Tensor[B, 3]``, radians.
        translation: ``Tensor[B, 3]``, decimetres.
        count: rays along each side.

    Returns:
        ``(origins, directions)`` in the head frame: ``Tensor[B, 1, 3]`` and unit
        ``Tensor[B, count * count, 3]``, row by row.
    """
    axes, origin = to_head(rotation, translation)
    cell = (torch.arange(count, dtype=axes.dtype, device=axes.device) + 0.5) / count
    y, x = torch.meshgrid((cell - CENTRE_Y) / FOCAL, (cell - CENTRE_X) / FOCAL, indexing="ij")
    camera = torch.stack((x, y, torch.ones_like(x)), -1).reshape(-1, 3)
    camera = camera / camera.norm(dim=-1, keepdim=True)
    return origin[:, None], camera @ axes.transpose(-1, -2)


def orbit_path(frames: int, yaw: float = 40.0, pitch: float = 8.0) -> Tensor:
    """A seamless loop of head rotations: left, right and back, with a gentle nod.

    Args:
        frames: number of frames, 2 to 18,000; frame ``frames`` would equal frame 0.
        yaw: largest turn in degrees.
        pitch: largest nod in degrees.

    Returns:
        ``Tensor[frames, 3]``, (pitch, yaw, roll) in radians; frame 0 looks at the camera.

    Raises:
        ConfigError: for a number of frames out of range or angles beyond 80 degrees.
    """
    whole(frames, "frames", 2, MOST_FRAMES)
    for name, value in (("yaw", yaw), ("pitch", pitch)):
        number(value, name, -80, 80, unit="degrees")
    phase = torch.arange(frames, dtype=torch.float32) * (2 * math.pi / frames)
    return torch.stack(
        (
            math.radians(pitch) * (2 * phase).sin(),
            math.radians(yaw) * phase.sin(),
            torch.zeros_like(phase),
        ),
        -1,
    )
