"""Z-buffer of posed meshes in the canonical image, and which vertices it shows."""

from __future__ import annotations

import torch
from torch import Tensor

from facesep.analysis.morphable import EYEBALLS, EYEBALLS_END, HEAD, MorphableModel
from facesep.camera import project

CHIN, NAPE = (-0.91, 0.26), (-0.50, -1.35)
"""(y, z) in dm of two points of the plane that cuts the neck off the neutral head."""


def head_triangles(model: MorphableModel) -> Tensor:
    """Triangles of face, head above the neck, mouth and eyeballs, ``int64 Tensor[T, 3]``."""
    y, z = model.neutral[:, 1], model.neutral[:, 2]
    slope = (CHIN[0] - NAPE[0]) / (CHIN[1] - NAPE[1])
    keep = y > CHIN[0] + slope * (z - CHIN[1])
    keep[HEAD:EYEBALLS] = True  # what fills the mouth
    keep[EYEBALLS_END:] = False
    return model.triangles_within(keep)


def depth_map(points: Tensor, triangles: Tensor, rotation: Tensor, translation: Tensor, size: int) -> Tensor:
    """Planar depth of meshes at the pixel centres of canonical images.

    Front faces alone are drawn. Inverse depth is linear in the picture, so it is what is interpolated.

    Args:
        points: ``Tensor[B, V, 3]`` vertices in the head frame, dm.
        triangles: ``int64 Tensor[T, 3]``, counter-clockwise from outside.
        rotation: ``Tensor[B, 3]`` radians.
        translation: ``Tensor[B, 3]`` dm.
        size: pixels along each side.

    Returns:
        ``Tensor[B, size, size]`` dm in front of the camera, NaN where there is no mesh.
    """
    screen = project(points, rotation, translation, size)
    return torch.stack([_draw(one, triangles, size) for one in screen])


def _draw(screen: Tensor, triangles: Tensor, size: int) -> Tensor:
    a, b, c = screen[triangles].unbind(1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    front = area < -1e-9  # y runs down, which turns counter-clockwise around
    corners = torch.stack((a, b, c), 1)[front]
    area = area[front]
    low = (corners[..., :2].amin(1) - 0.5).ceil().clamp(0, size).long()
    high = (corners[..., :2].amax(1) - 0.5).floor().clamp(-1, size - 1).long()
    nearest = torch.full((size * size,), torch.inf)
    extent = high - low
    steps = extent.amax(0).tolist() if len(extent) else (-1, -1)
    for dy in range(steps[1] + 1):
        for dx in range(steps[0] + 1):
            here = (dx <= extent[:, 0]) & (dy <= extent[:, 1])
            if not here.any():
                continue
            cell, (p, q, r) = low[here] + torch.tensor([dx, dy]), corners[here].unbind(1)
            x, y = (cell + 0.5).unbind(1)
            u = (q[:, 0] - x) * (r[:, 1] - y) - (q[:, 1] - y) * (r[:, 0] - x)
            v = (r[:, 0] - x) * (p[:, 1] - y) - (r[:, 1] - y) * (p[:, 0] - x)
            weight = torch.stack((u, v, area[here] - u - v), 1) / area[here, None]
            inside = (weight >= -1e-6).all(1)
            inverse = (weight / torch.stack((p[:, 2], q[:, 2], r[:, 2]), 1)).sum(1)
            index = cell[inside, 1] * size + cell[inside, 0]
            nearest.scatter_reduce_(0, index, 1 / inverse[inside], "amin")
    return torch.where(nearest.isinf(), torch.nan, nearest).view(size, size)


def vertex_normals(points: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals of vertices ``Tensor[B, V, 3]``, weighted by the areas of the triangles around."""
    a, b, c = points[:, triangles].unbind(2)
    normal = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(points)
    for corner in range(3):
        total.index_add_(1, triangles[:, corner], normal)
    return torch.nn.functional.normalize(total, dim=-1)
