"""The 68 iBUG landmarks among the 478 MediaPipe ones, their trust and their mirror order."""

from __future__ import annotations

import torch
from torch import Tensor

# fmt: off
MEDIAPIPE_68 = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lip
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lip
)
"""Vertex of the MediaPipe mesh for each iBUG landmark, a list in common use."""

MIRROR_68 = (
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
)
"""Landmark i of a mirrored face is landmark ``MIRROR_68[i]`` of the face."""
# fmt: on

JAW = slice(0, 17)


def landmark_sigma(inner: float = 1.2, jaw: float = 4.0) -> Tensor:
    """Standard deviation of each landmark in pixels of a 256 px canonical image, ``Tensor[68]``.

    The jaw contour gets little trust: it is no point of the skin, and the two meshes place it apart.
    """
    sigma = torch.full((68,), inner)
    sigma[JAW] = jaw
    return sigma


def mirror(points: Tensor, size: float) -> Tensor:
    """Landmarks ``Tensor[..., 68, 2]`` of the mirror image of a picture ``size`` pixels wide."""
    flipped = points[..., list(MIRROR_68), :].clone()
    flipped[..., 0] = size - flipped[..., 0]
    return flipped
