"""The official crops of a photo and rays of a camera, in the conventions of their own code.

facesep itself derives every crop from the canonical image (``facesep.nets.crops``); these are for
comparing with results of the official code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesep.faces.crop import fit_scale_offset
from facesep.nets.crops import ARCFACE_SIZE, ARCFACE_TEMPLATE, DEEP3D_SIZE

DEEP3D_FACTOR = 102.0
"""Pixels per decimetre of the template in the R-Net crop."""


@dataclass(frozen=True)
class Deep3DFit:
    """Deep3DFaceRecon's resize-and-crop of one photo.

    Attributes:
        width: width of the photo in pixels.
        height: height of the photo.
        scale: by which the photo is resized.
        x: where the template's origin lies in the photo, from the left.
        y: the same from below (Deep3D's y axis points up).
    """

    width: int
    height: int
    scale: float
    x: float
    y: float

    @staticmethod
    def from_points(points: np.ndarray, width: int, height: int) -> Deep3DFit:
        """Fits the five-point template.

        Args:
            points: ``[5, 2]`` eyes, nose tip and mouth corners in pixels, image left first, y down.
            width: width of the photo.
            height: height of the photo.

        Raises:
            FaceError: if the points are not finite or lie on one spot.
        """
        scale, offset = fit_scale_offset(points)
        return Deep3DFit(
            width, height, DEEP3D_FACTOR / scale, float(offset[0]), float(height - 1 - offset[1])
        )

    @property
    def resized(self) -> tuple[int, int]:
        """Width and height after resizing, cut to whole pixels."""
        return int(self.width * self.scale), int(self.height * self.scale)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, upper, right and lower edge of the crop in the resized photo; cut towards zero."""
        width, height = self.resized
        half = DEEP3D_SIZE / 2
        left = int(width / 2 - half + (self.x - self.width / 2) * self.scale)
        upper = int(height / 2 - half + (self.height / 2 - self.y) * self.scale)
        return left, upper, left + DEEP3D_SIZE, upper + DEEP3D_SIZE

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Points of the photo ``[N, 2]`` (y down) to the crop (y up), without the cut to whole pixels."""
        points = np.asarray(points, dtype=np.float64)
        points = np.stack([points[:, 0], self.height - 1 - points[:, 1]], 1)
        centre = np.array([self.x - self.width / 2, self.y - self.height / 2])
        return (points - centre) * self.scale - np.array(self.resized) / 2 + DEEP3D_SIZE / 2

    def apply(self, image: Image.Image) -> Image.Image:
        """Resizes bicubically and crops 224 x 224 pixels; black beyond the border."""
        return image.resize(self.resized, Image.BICUBIC).crop(self.box)


def _similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity without mirroring, ``[2, 3]``; points are taken as complex numbers."""
    z, w = source @ [1, 1j], target @ [1, 1j]
    a = np.vdot(z - z.mean(), w - w.mean()) / np.vdot(z - z.mean(), z - z.mean())
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _template(size: int) -> np.ndarray:
    return np.array(ARCFACE_TEMPLATE) * (size / ARCFACE_SIZE)


def arcface_similarity(points: np.ndarray, size: int = ARCFACE_SIZE) -> np.ndarray:
    """Alignment after insightface: the similarity that takes the five points closest to the template.

    Args:
        points: ``[5, 2]`` eyes, nose tip and mouth corners, image left first, y down.
        size: side of the crop in pixels.

    Returns:
        ``[2, 3]``, photo to crop, both counted from the centre of the first pixel.
    """
    return _similarity(np.asarray(points, dtype=np.float64), _template(size))


def adaface_similarity(points: np.ndarray, size: int = ARCFACE_SIZE) -> np.ndarray:
    """AdaFace's alignment, after MATLAB's ``cp2tform``.

    The template is fitted to the points and the map inverted, once as it is and once with the template
    mirrored; the map with the smaller error in the crop wins. Points of a face seen from outside never
    take the mirrored map.

    Args:
        points: ``[5, 2]`` eyes, nose tip and mouth corners, image left first, y down.
        size: side of the crop in pixels.

    Returns:
        ``[2, 3]``, photo to crop, both counted from the centre of the first pixel.
    """
    points, template = np.asarray(points, dtype=np.float64), _template(size)
    candidates = []
    for mirror in (np.diag([1.0, 1.0]), np.diag([-1.0, 1.0])):
        inverse = _similarity(template @ mirror, points)
        linear = mirror @ np.linalg.inv(inverse[:, :2])
        matrix = np.concatenate([linear, -linear @ inverse[:, 2:]], 1)
        error = np.linalg.norm(points @ matrix[:, :2].T + matrix[:, 2] - template)
        candidates.append((error, len(candidates), matrix))
    return min(candidates)[2]


def align(image: Image.Image, matrix: np.ndarray, size: int = ARCFACE_SIZE) -> Image.Image:
    """Warps a photo bilinearly; black beyond the border.

    Args:
        image: the photo.
        matrix: ``[2, 3]``, what ``arcface_similarity`` or ``adaface_similarity`` returned.
        size: side of the result in pixels.
    """
    linear = np.linalg.inv(matrix[:, :2])
    shift = -linear @ matrix[:, 2]
    shift += 0.5 - linear @ [0.5, 0.5]  # PIL counts from the corner of the first pixel
    coefficients = np.concatenate([linear, shift[:, None]], 1).ravel()
    return image.transform((size, size), Image.AFFINE, tuple(coefficients), Image.BILINEAR)


def official_rays(
    rotation: Tensor, origin: Tensor, inverse_intrinsics: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Rays as HeadNeRF casts them: through the corners of the cells, from a camera-to-world pose.

    Args:
        rotation: ``Tensor[B, 3, 3]``, camera axes (x right, y down, z forward) to world.
        origin: ``Tensor[B, 3]``, camera centre.
        inverse_intrinsics: ``Tensor[B, 3, 3]`` for an image of ``count`` pixels.
        count: rays along each side.

    Returns:
        ``(origins, directions)``: ``Tensor[B, 1, 3]`` and unit ``Tensor[B, count * count, 3]`` for
        ``facesep.nets.decoder.Decoder.render_rays``.
    """
    line = torch.arange(count, dtype=origin.dtype, device=origin.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    pixels = torch.stack((x, y, torch.ones_like(x)), -1).reshape(-1, 3)
    directions = (pixels @ inverse_intrinsics.transpose(1, 2)) @ rotation.transpose(1, 2)
    return origin[:, None], directions / directions.norm(dim=-1, keepdim=True)
