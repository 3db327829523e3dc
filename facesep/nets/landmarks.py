"""Landmarks that codes imply: a linear head from shape and expression to points of the head frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facesep.codes import CODE_SIZES, Codes

INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LOWER = (146, 91, 181, 84, 17, 314, 405, 321, 375)
EYES = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
NAMED = (*INNER_UPPER, *INNER_LOWER, *OUTER_UPPER, *OUTER_LOWER, *EYES)
"""Vertices of the MediaPipe mesh that come first, lips from image left to right; others follow."""
COUNT = 192
"""Landmarks of a head."""
_UPPER, _LOWER = len(INNER_UPPER), len(INNER_LOWER)
_OUTER = _UPPER + _LOWER
UPPER_LIP = (*range(1, _UPPER - 1), *range(_OUTER + 1, _OUTER + _UPPER - 1))
LOWER_LIP = (*range(_UPPER, _OUTER), *range(_OUTER + _UPPER, _OUTER + _UPPER + _LOWER))
"""Which landmarks lie on the lips, the corners apart."""
CODE = ("shape", "expression")


class LandmarkHead(nn.Module):
    """Points of a face from its shape and expression codes.

    ``p = b + W (shape, expression)``, by ridge regression on the codes of photos with known landmarks
    (``facesep.training.landmarks``).
    """

    vertices: Tensor
    """``int64[COUNT]``, which vertices of the MediaPipe mesh the points are."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(sum(CODE_SIZES[name] for name in CODE), COUNT * 3)
        self.register_buffer("vertices", torch.zeros(COUNT, dtype=torch.int64))

    def forward(self, codes: Codes) -> Tensor:
        """Gives ``Tensor[B, COUNT, 3]``, decimetres in the head frame, of a batch of codes."""
        code = torch.cat([getattr(codes, name) for name in CODE], -1)
        return self.line(code.to(self.line.weight.dtype)).float().unflatten(-1, (COUNT, 3))


def mouth_curves(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """The inner edges of the lips, corner to corner.

    Args:
        landmarks: ``Tensor[B, COUNT, 3]``.

    Returns:
        Two ``Tensor[B, 11, 3]``, upper and lower, image left to right; their ends are the corners.
    """
    upper = landmarks[:, :_UPPER]
    lower = torch.cat((upper[:, :1], landmarks[:, _UPPER:_OUTER], upper[:, -1:]), 1)
    return upper, lower
