"""Photos under another light: smooth shading by the normals that a decoder gives to the head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.camera import rays, rotation_matrix
from facesep.codes import Codes
from facesep.data.heads import Photo
from facesep.faces.types import Aligned
from facesep.images import to_image, to_tensor
from facesep.nets.decoder import Decoder

DIRECTIONS = ((-1.0, 0.0, 0.3), (1.0, 0.0, 0.3), (0.0, 1.0, 0.3), (0.0, -1.0, 0.3))
"""Where added light comes from, towards which normals it is brightest: left, right, above, below."""
STRENGTH = 0.6
"""How much brighter than the mean a surface becomes that faces the added light."""
DARKEST = 0.1
"""Least factor of a relit pixel."""


@torch.no_grad()
def head_normals(decoder: Decoder, codes: Codes, rounds: int = 3) -> Tensor:
    """Normals of heads as a decoder sees them.

    Args:
        decoder: gives the distance of the surface along its rays.
        codes: a batch of B.
        rounds: how often the surface is smoothed before.

    Returns:
        Unit ``Tensor[B, 3, n, n]`` on the ray grid in the camera's frame (x right, y up, z to the viewer);
        0 where there is no head.
    """
    shown = decoder(codes)
    count = shown.distance.shape[-1]
    origins, directions = rays(codes.rotation.float(), codes.translation.float(), count)
    points = origins + directions * shown.distance.flatten(1)[..., None]
    turn = rotation_matrix(codes.rotation.float())
    points = (points @ turn.mT).mT.unflatten(-1, (count, count))
    return surface_normals(points, (shown.opacity > 0.5).float(), rounds)


def surface_normals(points: Tensor, seen: Tensor, rounds: int = 3) -> Tensor:
    """Normals of surfaces from their points on a grid.

    Args:
        points: ``Tensor[B, 3, n, n]``, rows from top to bottom, in the camera's frame.
        seen: ``Tensor[B, 1, n, n]``, 1 where there is a surface; its values go on beyond its border.
        rounds: how often points are averaged over 3 x 3 cells before.

    Returns:
        Unit ``Tensor[B, 3, n, n]`` that point to the viewer; 0 where points lie on each other.
    """
    for _ in range(rounds):
        weight = _smoothed(seen)
        points = torch.where(weight > 0, _smoothed(points * seen) / weight.clamp_min(1e-6), points)
        seen = (weight > 0).to(points)
    right = F.pad(points[..., 2:] - points[..., :-2], (1, 1, 0, 0), mode="replicate")
    down = F.pad(points[..., 2:, :] - points[..., :-2, :], (0, 0, 1, 1), mode="replicate")
    normal = F.normalize(torch.linalg.cross(down, right, dim=1), dim=1)
    return torch.where(normal[:, 2:] < 0, -normal, normal)


def relit_copies(decoder: Decoder, codes: Codes, photo: Photo, face: Tensor) -> list[Aligned]:
    """A photo under each light of ``DIRECTIONS``, see ``relit``.

    Args:
        decoder: gives the normals.
        codes: of the photo, one face.
        photo: light changes on its head.
        face: ``Tensor[1, S, S]``, 1 where the mean brightness stays.
    """
    image, normal = to_tensor(photo.image)[None], head_normals(decoder, codes.batch())
    images = (relit(image, photo.mask[None], face[None], normal, one) for one in DIRECTIONS)
    return [Aligned.of_crop(to_image(one[0]), photo.points) for one in images]


def relit(image: Tensor, head: Tensor, face: Tensor, normal: Tensor, towards: Sequence[float]) -> Tensor:
    """Photos with more light from one side and less from the other; the mean of a face stays.

    A pixel of the head with the normal ``n`` is multiplied by ``1 + s n . d``, in sRGB values like the
    spherical harmonics of ``facesep.analysis.lighting``, over the mean of that on the face: a change of
    brightness alone could as well be one of skin.

    Args:
        image: ``Tensor[B, 3, S, S]`` in 0..1.
        head: ``Tensor[B, 1, S, S]``, 1 where the light changes.
        face: ``Tensor[B, 1, S, S]``, 1 where the mean is taken.
        normal: ``Tensor[B, 3, n, n]`` of ``head_normals``.
        towards: d, of any length.
    """
    towards = F.normalize(torch.tensor(towards, dtype=normal.dtype, device=normal.device), dim=0)
    cosine = torch.einsum("c,bchw->bhw", towards, normal)[:, None]
    cosine = F.interpolate(cosine, size=image.shape[-2:], mode="bilinear", align_corners=False)
    factor = (1 + STRENGTH * cosine).clamp_min(DARKEST)
    mean = (factor * face).sum((1, 2, 3), keepdim=True) / face.sum((1, 2, 3), keepdim=True).clamp_min(1.0)
    return (image * (1 + head * (factor / mean - 1))).clamp(0, 1)


def _smoothed(values: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(values, (1, 1, 1, 1), mode="replicate"), 3, 1)
