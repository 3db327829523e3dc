"""Heads of a batch under another pose, compared with the photo where both show the same skin.

A photo shows one view. The mesh that was fitted to it says where in space each of its pixels lies, hence
where the pixel moves when the head turns; there the render of the turned head must have the photo's colour.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.analysis.lighting import BANDS, sh_basis
from facesep.camera import CAMERA_DISTANCE, project, rays, rotation_matrix, to_head
from facesep.codes import Codes
from facesep.precision import full_precision

YAW, PITCH = math.radians(45), math.radians(12)
"""Largest yaw of the turned heads, and by how much they nod."""
MIN_FACING = 0.3
"""Cosine between surface and view, in the photo and in the new view, below which a pixel is too slanted."""
LEAST, MARGIN = math.radians(5), 0.01
"""Least turn that shows a profile, and how far before it pixels must be empty, as a share of the image."""
HIDDEN = 0.15
"""Points that lie so many decimetres behind another one of the same cell are hidden by it."""


def random_rotation(rotation: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Rotations with any yaw and about the same pitch and roll.

    Args:
        rotation: ``Tensor[B, 3]`` (pitch, yaw, roll), radians.
        generator: source of randomness.
    """
    nod, yaw = (torch.rand(2, len(rotation), generator=generator).to(rotation) * 2 - 1).unbind()
    return torch.stack((rotation[:, 0] + PITCH * nod, YAW * yaw, rotation[:, 2]), 1)


@full_precision
def turn(codes: Codes, rotation: Tensor) -> Codes:
    """Codes of the head in another rotation with its light turned along, so that its skin keeps its colours.

    Args:
        codes: a batch.
        rotation: ``Tensor[B, 3]`` radians.
    """
    by = rotation_matrix(rotation) @ rotation_matrix(codes.rotation).transpose(1, 2)
    return codes.replace(rotation=rotation, illumination=turn_light(codes.illumination.float(), by))


@full_precision
def turn_light(gamma: Tensor, by: Tensor) -> Tensor:
    """Spherical-harmonics light after a rotation: ``Y(R n) . gamma' = Y(n) . gamma`` for every normal n.

    Bands of degree up to two stay within themselves, so a few normals fix the nine numbers of each colour.

    Args:
        gamma: ``Tensor[B, 27]``, three colours of nine bands; any scale.
        by: ``Tensor[B, 3, 3]`` rotations.
    """
    generator = torch.Generator().manual_seed(0)
    normals = F.normalize(torch.randn(32, 3, generator=generator), dim=1).to(gamma)
    before, after = sh_basis(normals), sh_basis(normals @ by.transpose(1, 2))
    # Least squares by its normal equations, unchecked: they are well conditioned, and a GPU need not wait.
    matrix = torch.linalg.solve_ex(after.mT @ after, after.mT @ before).result
    return (gamma.unflatten(1, (3, BANDS)) @ matrix.transpose(1, 2)).flatten(1)


@full_precision
def where_pixels_go(
    depth: Tensor, codes: Codes, rotation: Tensor, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Where the pixels of a photo appear once its head has another rotation.

    Args:
        depth: ``Tensor[B, 1, m, m]`` planar depth of the photo's pixels, decimetres; NaN where unknown.
        codes: with the pose of the photo.
        rotation: ``Tensor[B, 3]`` radians, of the turned head.
        size: side of the photo in pixels.

    Returns:
        ``(grid, visible, known)``: ``Tensor[B, size, size, 2]``, places in the new image for
        ``torch.nn.functional.grid_sample``; ``Tensor[B, 1, size, size]``, 1 where both views show the
        surface, else 0; likewise where the place is known.
    """
    known = (~depth.isnan()).float()
    share = _resize(known, size)
    depth = _resize(depth.nan_to_num(), size) / share.clamp_min(1e-6)
    known = share[:, 0] > 0.99
    depth = depth[:, 0].where(known, CAMERA_DISTANCE)
    origins, directions = rays(codes.rotation, codes.translation, size)
    forward = to_head(codes.rotation, codes.translation)[0][..., 2:]
    points = origins + depth.flatten(1)[..., None] * directions / (directions @ forward)  # planar depth
    seen = project(points, rotation, codes.translation, 1.0).unflatten(1, (size, size))
    place, away = seen[..., :2], seen[..., 2]
    cameras = origins[:, 0], to_head(rotation, codes.translation)[1]
    facing = torch.minimum(*(_facing(points.unflatten(1, (size, size)), camera) for camera in cameras))
    visible = known & (facing > MIN_FACING) & (away < _nearest(place, away, known, size // 2) + HIDDEN)
    return place * 2 - 1, visible[:, None].float(), known[:, None].float()


def must_be_empty(grid: Tensor, face: Tensor, hair: Tensor, by: Tensor) -> Tensor:
    """Pixels of the turned head's image that lie before its profile.

    When a head turns, its outline on the side that it turns to consists of points that the photo shows.
    Beyond the outermost of them in a row there is nothing, if it is skin; hair stands off the fitted head.

    Args:
        grid: ``Tensor[B, S, S, 2]`` of ``where_pixels_go``.
        face: ``Tensor[B, 1, S, S]``, 1 for the photo's pixels of skin with a known place, else 0.
        hair: likewise for all its other pixels with a known place.
        by: ``Tensor[B]`` how far the head was turned, radians of yaw; less than ``LEAST`` says nothing.

    Returns:
        ``Tensor[B, 1, S, S]``, 1 for those pixels.
    """
    size = grid.shape[1]
    cell = ((grid + 1) / 2 * size).floor().long()
    inside = ((cell >= 0) & (cell < size)).all(-1)
    column = torch.where(by[:, None, None] < 0, cell[..., 0], size - 1 - cell[..., 0])  # the side is the left
    first = [_first_in_rows(column, cell[..., 1], (mask[:, 0] > 0.5) & inside) for mask in (face, hair)]
    known = (first[0] < size) & (first[0] <= first[1]) & (by[:, None].abs() > LEAST)
    beyond = torch.arange(size, device=grid.device) < first[0][..., None] - MARGIN * size
    beyond = beyond & known[..., None]
    return torch.where(by[:, None, None] < 0, beyond, beyond.flip(-1))[:, None].float()


def _first_in_rows(column: Tensor, row: Tensor, chosen: Tensor) -> Tensor:
    """First column of the chosen points in each row and its neighbours, ``int64 [B, S]``; S without any."""
    size = column.shape[-1]
    column = torch.where(chosen, column, size).flatten(1)
    found = column.new_full((len(column), size), size)
    found.scatter_reduce_(1, row.clamp(0, size - 1).flatten(1), column, "amin")
    return -F.max_pool1d(-found[:, None].float(), 3, 1, 1)[:, 0].long()


def _resize(image: Tensor, size: int) -> Tensor:
    return F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)


def _facing(points: Tensor, camera: Tensor) -> Tensor:
    """Cosine between the normals of a sheet of points ``[B, S, S, 3]`` and the view, ``[B, S, S]``."""
    down, across = torch.gradient(points, dim=(1, 2))
    normal = F.normalize(torch.linalg.cross(down, across), dim=-1)
    view = F.normalize(camera[:, None, None] - points, dim=-1)
    return (normal * view).sum(-1)


def _nearest(place: Tensor, away: Tensor, known: Tensor, cells: int) -> Tensor:
    """Depth of the nearest point in the cell of each point, ``[B, S, S]``."""
    cell = (place * cells).long().clamp(0, cells - 1)
    index = (cell[..., 1] * cells + cell[..., 0]).flatten(1)
    depth = torch.where(known, away, torch.inf).flatten(1)
    nearest = depth.new_full((len(depth), cells * cells), torch.inf)
    nearest.scatter_reduce_(1, index, depth, "amin")
    return nearest.gather(1, index).view_as(away)
