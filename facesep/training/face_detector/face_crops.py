"""Square pictures of one face each, and of none, for the training of the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from facesep.data.annotated import Source, face_box
from facesep.faces.detector import MIRRORED_FIVE, WINDOW
from facesep.faces.networks import POINTER_SIZE
from facesep.training.face_detector.backgrounds import background, colour
from facesep.training.face_detector.scenes import move, paste

CROP_SIDE = 176
CROP_REACH = 2.1
"""Side of a stored crop as a multiple of the face size (mean of width and height of its box)."""


def write_face_crops(
    path: Path,
    sources: Sequence[Source],
    straight: Sequence[Source],
    pictures: Sequence[Image.Image],
    faces: int,
    empty: Sequence[np.ndarray],
    extra: int,
    seed: int = 3,
) -> None:
    """Writes ``images``, ``points`` (fractions of the crop), ``yaws`` (radians), ``faces`` (0 or 1).

    Args:
        path: an npz file.
        sources: portraits; each is pasted on a picture without a face.
        straight: portraits whose heads are painted out.
        pictures: further pictures without a face.
        faces: how many crops of faces.
        empty: ``uint8[176, 176, 3]`` crops that the finder took for faces and that are none.
        extra: how many random crops without a face to add to ``empty``.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    count = faces + len(empty) + extra
    images = np.zeros((count, CROP_SIDE, CROP_SIDE, 3), np.uint8)
    points, yaws = np.full((count, 5, 2), 0.5, np.float32), np.zeros(count, np.float32)
    for index in range(faces):
        source = sources[index % len(sources)]
        box = face_box(source.outline)
        scale = CROP_SIDE / (CROP_REACH * (box[2] - box[0] + box[3] - box[1]) / 2)
        matrix = np.column_stack((np.eye(2) * scale, CROP_SIDE / 2 - scale * (box[:2] + box[2:]) / 2))
        cut_out = bool(rng.random() < 0.3)
        if cut_out:
            canvas = background(rng, straight, pictures, CROP_SIDE)
        else:  # most portraits fill the crop; black is what lies beyond the border of a photo
            canvas = Image.new("RGB", (CROP_SIDE, CROP_SIDE), colour(rng) if rng.random() < 0.4 else 0)
        paste(canvas, source, matrix, cut_out, 0.6)
        images[index] = np.asarray(canvas)
        points[index] = move(matrix, source.points) / CROP_SIDE
        yaws[index] = np.radians(source.yaw)
    for index, crop in enumerate(empty, faces):
        images[index] = crop
    for index in range(faces + len(empty), count):
        images[index] = np.asarray(background(rng, straight, pictures, CROP_SIDE))
    np.savez(path, images=images, points=points, yaws=yaws, faces=np.arange(count) < faces)


class FaceCrops:
    """Batches of augmented pointer inputs from what ``write_face_crops`` wrote."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self._images, self._faces = torch.from_numpy(file["images"]), torch.from_numpy(file["faces"])
            self._points, self._yaws = torch.from_numpy(file["points"]), torch.from_numpy(file["yaws"])

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Random crops.

        Returns:
            ``(images, points, yaws, faces)``: ``Tensor[B, 3, 112, 112]`` in [-1, 1], ``Tensor[B, 5, 2]``
            fractions, ``Tensor[B]`` radians, ``Tensor[B]`` 1 for a face.
        """
        pick = torch.randint(len(self._images), (size,), generator=generator)
        images = self._images[pick].permute(0, 3, 1, 2).float() / 127.5 - 1
        points, yaws, faces = self._points[pick], self._yaws[pick], self._faces[pick].float()
        images, points, yaws = _look(images, points, yaws, generator)
        return _spoil(images, generator), points, yaws, faces


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _look(
    images: Tensor, points: Tensor, yaws: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Random window of each crop: turned, zoomed, shifted, mirrored."""
    count = len(images)
    wide = torch.rand(count, generator=generator) < 0.4
    angle = torch.where(
        wide,
        _uniform((count,), -0.95, 0.95, generator),
        torch.randn(count, generator=generator).clamp(-2.5, 2.5) * 0.12,
    )
    zoom = WINDOW / CROP_REACH * torch.exp(_uniform((count,), -0.2, 0.25, generator))
    shift = _uniform((count, 2), -0.07, 0.07, generator)  # of the stored crop, in [-1, 1] coordinates x 2
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    linear = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
    linear = linear * torch.stack((mirror, torch.ones(count)), -1)[:, None]  # output to stored, in [-1, 1]
    theta = torch.cat((linear, 2 * shift[..., None]), -1)
    grid = F.affine_grid(theta, [count, 3, POINTER_SIZE, POINTER_SIZE], align_corners=False)
    padding = ("zeros", "border")[int(torch.randint(2, (1,), generator=generator))]
    looked = F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)
    stored = points * 2 - 1 - 2 * shift[:, None]
    seen = (torch.linalg.solve(linear, stored.transpose(1, 2)).transpose(1, 2) + 1) / 2
    seen = torch.where((mirror < 0)[:, None, None], seen[:, list(MIRRORED_FIVE)], seen)
    return looked, seen, yaws * mirror


def _spoil(images: Tensor, generator: torch.Generator) -> Tensor:
    """Hides parts, then changes light, colour, sharpness and noise."""
    count, _, size, _ = images.shape

    def some(share: float) -> Tensor:
        return (torch.rand(count, generator=generator) < share).float()[:, None, None, None]

    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    centre, half = _uniform((count, 2), -0.8, 0.8, generator), _uniform((count, 2), 0.08, 0.45, generator)
    square = (
        (x - centre[:, :1, None]).abs() / half[:, :1, None],
        (y - centre[:, 1:, None]).abs() / half[:, 1:, None],
    )
    blob = torch.where(
        torch.rand(count, 1, 1, generator=generator) < 0.5,
        torch.maximum(*square),
        (square[0] ** 2 + square[1] ** 2).sqrt(),
    )
    cover = torch.where(
        torch.rand(count, 1, 1, 1, generator=generator) < 0.5,
        _uniform((count, 3, 1, 1), -1, 1, generator).expand_as(images),
        images.roll(1, 0).flip(-2),
    )
    images = torch.where((blob < 1)[:, None] & (some(0.35) > 0), cover, images)
    heading = _uniform((count, 1, 1), 0, 2 * torch.pi, generator)
    beyond = x * heading.cos() + y * heading.sin() > _uniform((count, 1, 1), 0.45, 1.2, generator)
    images = torch.where(beyond[:, None] & (some(0.25) > 0), -1.0, images)  # the photo ends here

    light = (images + 1) / 2
    light = light.clamp(1e-4, 1) ** torch.exp(
        0.45 * some(0.5) * torch.randn(count, 1, 1, 1, generator=generator)
    )
    direction = _uniform((count, 2, 1, 1), -0.7, 0.7, generator)
    light = light * (1 + some(0.3) * (direction[:, :1] * x + direction[:, 1:] * y))
    light = light * (1 + some(0.4) * _uniform((count, 3, 1, 1), -0.25, 0.25, generator))
    light = light * torch.exp(some(0.2) * _uniform((count, 1, 1, 1), -2.0, 0.2, generator))
    contrast = 1 + some(0.5) * _uniform((count, 1, 1, 1), -0.5, 0.5, generator)
    mean = light.mean((1, 2, 3), keepdim=True)
    light = (light - mean) * contrast + mean + some(0.4) * _uniform((count, 1, 1, 1), -0.15, 0.15, generator)
    grey = light.mean(1, keepdim=True)
    light = torch.lerp(light, grey.expand_as(light), some(0.15).expand_as(light))

    parts = []
    for part in light.split(8):
        if torch.rand(1, generator=generator).item() < 0.5:
            small = int(torch.randint(18, 90, (1,), generator=generator))
            part = F.interpolate(part, (small, small), mode="bilinear", antialias=True, align_corners=False)
            part = F.interpolate(part, (size, size), mode="bilinear", align_corners=False)
        parts.append(part)
    light = torch.cat(parts)
    light = light + some(0.4) * _uniform((count, 1, 1, 1), 0.0, 0.08, generator) * torch.randn(
        light.shape, generator=generator
    )
    return light.clamp(0, 1) * 2 - 1
