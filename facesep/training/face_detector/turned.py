"""Turned heads from frontal portraits: the photo is laid on a depth surface and seen from elsewhere.

Hardly any portrait looks aside by more than 20 degrees. The mesh landmarks carry depth; outside the face
the surface falls back to the ears, the back of the head and a far background. Every pixel becomes a
coloured point of that surface, is rotated, and the nearest one wins.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from facesep.data.annotated import OUTLINE, Source

INSIDE = tuple(i for i in range(0, 468, 4) if i not in OUTLINE)
"""A fourth of the mesh is enough to carry the depth inside the face."""
RINGS = ((1.3, 0.55), (1.9, 1.1), (3.0, 1.3))
"""Rings around the face: radius as a multiple of the outline, depth behind it in interocular units."""


def depth_surface(mesh: np.ndarray, size: int, grid: int = 48) -> np.ndarray:
    """Depth at every pixel of a square picture, smaller is nearer.

    A linear radial basis function through the mesh and the rings behind it (the biharmonic interpolant
    of three dimensions): it has no parameter and does not overshoot much.

    Args:
        mesh: ``[478, 3]`` landmarks in pixels of the picture.
        size: its side in pixels.
        grid: the interpolant is evaluated on ``grid x grid`` points and resized.
    """
    unit = float(np.linalg.norm(mesh[473, :2] - mesh[468, :2]))
    oval, centre = mesh[list(OUTLINE)], mesh[list(OUTLINE)].mean(0)
    knots = [mesh[list(INSIDE)], oval]
    for radius, back in RINGS:
        ring = oval.copy()
        ring[:, :2] = centre[:2] + radius * (oval[:, :2] - centre[:2])
        ring[:, 2] = oval[:, 2] + back * unit
        if radius > 2:
            ring[:, 2] = oval[:, 2].max() + back * unit
        knots.append(ring)
    knots = np.concatenate(knots).astype(np.float64)
    place, depth = knots[:, :2], knots[:, 2]
    kernel = np.linalg.norm(place[:, None] - place[None], axis=-1)
    system = np.block([[kernel, np.ones((len(place), 1))], [np.ones((1, len(place))), np.zeros((1, 1))]])
    weights = np.linalg.solve(system, np.append(depth, 0.0))
    cell = (np.arange(grid) + 0.5) * (size / grid)
    spots = np.stack(np.meshgrid(cell, cell), -1).reshape(-1, 2)
    values = np.linalg.norm(spots[:, None] - place[None], axis=-1) @ weights[:-1] + weights[-1]
    surface = Image.fromarray(values.reshape(grid, grid).astype(np.float32), "F")
    return np.asarray(surface.resize((size, size), Image.BICUBIC))


def rotate(points: np.ndarray, centre: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Turns points ``[..., 3]`` (x right, y down, z away) about ``centre``; angles in radians.

    Positive yaw moves the nose to image right, positive pitch moves it down, as in
    ``facesep.camera.rotation_matrix``.
    """
    x, y, z = np.moveaxis(points - centre, -1, 0)
    y, z = np.cos(pitch) * y - np.sin(pitch) * z, np.sin(pitch) * y + np.cos(pitch) * z
    x, z = np.cos(yaw) * x - np.sin(yaw) * z, np.sin(yaw) * x + np.cos(yaw) * z
    return np.stack((x, y, z), -1) + centre


def _fill(picture: np.ndarray, known: np.ndarray, rounds: int) -> np.ndarray:
    """Grows known pixels into the holes, one ring a round; returns what is known then."""
    for _ in range(rounds):
        if known.all():
            break
        total = np.zeros(picture.shape, np.float32)
        count = np.zeros(known.shape, np.float32)
        value = picture * known[..., None]
        for axis in (0, 1):
            for step in (-1, 1):
                total += np.roll(value, step, axis)
                count += np.roll(known, step, axis)
        new = ~known & (count > 0)
        picture[new] = total[new] / count[new][:, None]
        known = known | new
    return known


def _seen_through(depth: np.ndarray, step: float) -> np.ndarray:
    """Pixels where a stretched surface has a gap: most neighbours are nearer by more than ``step``."""
    nearer = np.zeros(depth.shape, int)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            nearer += np.roll(depth, (down, right), (0, 1)) < depth - step
    return nearer >= 4


def turn(source: Source, yaw: float, pitch: float, size: int = 224, dense: int = 384) -> Source:
    """A new view of a portrait's head.

    Args:
        source: the portrait.
        yaw: how far to turn, degrees, added to the portrait's own.
        pitch: how far to nod, degrees.
        size: side of the result; the face fills about half of it.
        dense: side of the picture whose pixels are moved; larger leaves fewer holes.
    """
    box = np.concatenate((source.outline.min(0), source.outline.max(0)))
    middle, side = (box[:2] + box[2:]) / 2, 2.1 * float((box[2:] - box[:2]).max())
    scale = dense / side
    corner = middle - side / 2
    affine = (1 / scale, 0, corner[0], 0, 1 / scale, corner[1])
    bands = Image.fromarray(source.pixels[..., :3]), Image.fromarray(source.pixels[..., 3])
    photo = bands[0].transform((dense, dense), Image.AFFINE, affine, Image.BICUBIC)
    label = bands[1].transform((dense, dense), Image.AFFINE, affine, Image.NEAREST, fillcolor=255)
    mesh = source.mesh.copy()
    mesh[:, :2] = (mesh[:, :2] - corner) * scale
    mesh[:, 2] *= scale

    unit = float(np.linalg.norm(mesh[473, :2] - mesh[468, :2]))
    centre = np.append(mesh[list(OUTLINE), :2].mean(0), 0.8 * unit)
    cell = np.arange(dense) + 0.5
    x, y = np.meshgrid(cell, cell)
    cloud = np.stack((x, y, depth_surface(mesh, dense)), -1).reshape(-1, 3)
    shrink = size / dense
    moved = rotate(cloud, centre, np.radians(yaw), np.radians(pitch))
    column, row = (moved[:, 0] * shrink).astype(int), (moved[:, 1] * shrink).astype(int)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    inside &= np.asarray(label).reshape(-1) != 255
    order = np.flatnonzero(inside)
    order = order[np.argsort(-moved[order, 2])]  # the nearest is written last
    picture = np.zeros((size, size, 4), np.float32)
    known = np.zeros((size, size), bool)
    flat = np.dstack((np.asarray(photo), np.asarray(label))).reshape(-1, 4)
    picture[row[order], column[order]] = flat[order]
    known[row[order], column[order]] = True
    depth = np.full((size, size), np.inf)
    depth[row[order], column[order]] = moved[order, 2]
    known &= ~_seen_through(depth, 0.3 * unit)
    known = _fill(picture, known, rounds=4)
    labels = np.rint(picture[..., 3]).clip(0, 3)
    picture[..., 3] = np.where(known, labels, 255)
    mesh = rotate(mesh, centre, np.radians(yaw), np.radians(pitch)) * shrink
    pixels = picture.clip(0, 255).astype(np.uint8)
    return Source(pixels, mesh.astype(np.float32), source.yaw + yaw, source.name)
