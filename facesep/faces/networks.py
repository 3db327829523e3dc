"""The two small networks behind face detection: a finder for whole photos, a pointer for one face."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesep.nets.blocks import Residual, conv, stage

FINDER_STRIDE = 8
"""Photo pixels between neighbouring cells of the finder's maps."""
POINTER_SIZE = 112
"""Side of the pointer's input in pixels."""


def _merge(fine: Tensor, coarse: Tensor) -> Tensor:
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


class Finder(nn.Module):
    """Where in a photo are faces, and how large: an anchor-free detector of stride 8.

    One map says how likely a cell holds the centre of a face, four give the distances from the cell's
    centre to the sides of the face box, as the logarithm of their multiple of the stride.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, stride=2), conv(16, 32, stride=2), conv(32, 32))
        self.stage8 = stage(32, 64, 1)
        self.stage16 = stage(64, 96, 2)
        self.stage32 = stage(96, 128, 2)
        self.lateral8 = nn.Conv2d(64, 64, 1)
        self.lateral16 = nn.Conv2d(96, 64, 1)
        self.lateral32 = nn.Conv2d(128, 64, 1)
        self.smooth16 = conv(64, 64)
        self.smooth8 = conv(64, 64)
        self.centre = nn.Conv2d(64, 1, 1)
        self.sides = nn.Conv2d(64, 4, 1)
        nn.init.constant_(
            self.centre.bias, -4.6
        )  # a face in one cell of a hundred, so that training starts calm

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of a batch of photos.

        Args:
            x: ``Tensor[B, 3, H, W]``, RGB in [-1, 1], sides multiples of 32.

        Returns:
            ``(centre, sides)``: ``Tensor[B, H/8, W/8]`` logits, and ``Tensor[B, 4, H/8, W/8]`` log
            distances to the left, top, right and bottom side in strides.
        """
        f8 = self.stage8(self.stem(x))
        f16 = self.stage16(f8)
        f32 = self.stage32(f16)
        top16 = self.smooth16(_merge(self.lateral16(f16), self.lateral32(f32)))
        top8 = self.smooth8(_merge(self.lateral8(f8), top16))
        return self.centre(top8)[:, 0], self.sides(top8)


class Pointer(nn.Module):
    """The five points of one face, its yaw, and whether it is a face at all.

    The points are the expectation of a softmax over a 28 x 28 map each (integral regression), which is
    precise to a fraction of a cell and moves with the face.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, stride=2), conv(16, 32, stride=2), Residual(32))
        self.stage8 = stage(32, 64, 2)
        self.stage16 = stage(64, 96, 2)
        self.lateral4 = nn.Conv2d(32, 48, 1)
        self.lateral8 = nn.Conv2d(64, 48, 1)
        self.lateral16 = nn.Conv2d(96, 48, 1)
        self.smooth8 = conv(48, 48)
        self.smooth4 = conv(48, 48)
        self.maps = nn.Conv2d(48, 5, 1)
        self.whole = nn.Sequential(nn.Linear(96 * 2, 64), nn.ReLU(inplace=True), nn.Linear(64, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reads a batch of face crops.

        Args:
            x: ``Tensor[B, 3, 112, 112]``, RGB in [-1, 1].

        Returns:
            ``(points, yaw, face)``: ``Tensor[B, 5, 2]`` x and y as fractions of the crop, ``Tensor[B]``
            radians, ``Tensor[B]`` logits of being a face.
        """
        f4 = self.stem(x)
        f8 = self.stage8(f4)
        f16 = self.stage16(f8)
        top8 = self.smooth8(_merge(self.lateral8(f8), self.lateral16(f16)))
        maps = self.maps(self.smooth4(_merge(self.lateral4(f4), top8))).float()
        weight = maps.flatten(2).softmax(-1).unflatten(-1, maps.shape[-2:])
        cells = (torch.arange(maps.shape[-1], device=x.device) + 0.5) / maps.shape[-1]
        points = torch.stack(((weight.sum(-2) * cells).sum(-1), (weight.sum(-1) * cells).sum(-1)), -1)
        pooled = torch.cat((f16.mean((-2, -1)), f16.amax((-2, -1))), -1)
        yaw, face = self.whole(pooled).float().unbind(-1)
        return points, yaw, face
