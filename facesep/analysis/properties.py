"""Properties of faces that have names: distances between landmarks, colours and light, extents of hair.

All are measured in pictures of frontal faces: landmarks by the checkpoint's own encoder and landmark head,
parts by the bundled parser, colours in CIE Lab. The moves of ``facesep.analysis.moves`` are made from them
and judged by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.faces.parsing import BUNDLED_SIZE, face_probabilities
from facesep.nets.face_parser import CLASSES
from facesep.nets.landmarks import LandmarkHead

if TYPE_CHECKING:
    from facesep.model import FaceSep

DISTANCES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "mouth opening": ("y", (13,), (14,)),
    "mouth width": ("x", (308,), (78,)),
    "corners of the mouth": ("y", (61, 291), (13, 14)),
    "brows": ("y", (105, 334, 66, 296, 63, 293), (33, 133, 263, 362)),
    "eye opening": ("y", (159, 386, 158, 385), (145, 374, 153, 380)),
    "face width": ("x", (454, 323), (234, 93)),
    "jaw width": ("x", (397, 379), (172, 150)),
    "chin": ("y", (17,), (152,)),
    "nose width": ("x", (327, 344), (98, 115)),
    "nose length": ("y", (133, 362), (2,)),
}
"""Decimetres along an axis of the head frame (x to image right, y up) between means of vertices of the
MediaPipe mesh: the first less the second."""
COLOURS = (
    *("skin tone", "redness of skin", "warmth", "lower face", "brow tone", "hair tone"),
    *("light from the right", "light from above"),
)
AREAS = ("hair length", "hair fullness", "fringe", "eye area", "mouth area")
PROPERTIES = (*DISTANCES, *COLOURS, *AREAS)
EYES, EYE_DISTANCE = (0.5, 0.4843), 0.2249
"""Where the middle between the eyes of a frontal face is, and how far they are apart, in shares of the side
of a canonical image (the five-point template of ``facesep.camera``)."""


def distances(head: LandmarkHead) -> Tensor:
    """``DISTANCES`` as a linear map of landmarks: ``Tensor[K, N, 3]``."""
    place = {int(vertex): number for number, vertex in enumerate(head.vertices)}
    found = torch.zeros(len(DISTANCES), len(place), 3)
    for row, (axis, plus, minus) in zip(found, DISTANCES.values(), strict=True):
        for sign, side in ((1.0, plus), (-1.0, minus)):
            for vertex in side:
                row[place[vertex], "xyz".index(axis)] += sign / len(side)
    return found


@torch.no_grad()
def measure(sep: FaceSep, images: Tensor) -> Tensor:
    """``PROPERTIES`` of pictures.

    Args:
        sep: a model with a landmark head.
        images: ``Tensor[B, 3, S, S]`` in 0..1, canonical, frontal.

    Returns:
        ``Tensor[B, K]``: decimetres, units of CIE Lab, squares of the distance between the eyes.
    """
    size = sep.image_size
    small = images if images.shape[-1] == size else F.interpolate(images, (size, size), mode="area")
    landmarks = sep.landmarks(sep.encoder(small))
    found = torch.einsum("knc,bnc->bk", distances(sep.landmarks).to(landmarks), landmarks)
    sides = (BUNDLED_SIZE, BUNDLED_SIZE)
    images = images if images.shape[-1] == BUNDLED_SIZE else F.interpolate(images, sides, mode="bilinear")
    parts = dict(zip(CLASSES, face_probabilities(images).unbind(1), strict=True))
    return torch.cat((found, _colours(images, parts), _areas(parts)), 1)


def _colours(images: Tensor, parts: dict[str, Tensor]) -> Tensor:
    from skimage.color import rgb2lab

    values = rgb2lab(images.clamp(0, 1).permute(0, 2, 3, 1).double().cpu().numpy())
    light, red, yellow = torch.from_numpy(values).float().to(images).unbind(-1)
    y, x = _centred(images)
    skin = (parts["skin"] > 0.9) * (y > -0.6) * (y < 1.75) * (x.abs() < 1.0)
    below, cheeks = skin * (y > 0.75) * (x.abs() < 0.75), skin * (y > 0.2) * (y < 0.65) * (x.abs() > 0.3)

    def mean(values: Tensor, weight: Tensor) -> Tensor:
        return (values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1e-3)

    found = (
        mean(light, skin),
        mean(red, skin),
        mean(yellow, skin),
        mean(light, below) - mean(light, cheeks),
        mean(light, parts["brows"]),
        mean(light, parts["hair"] > 0.8),
        mean(light, skin * (x > 0.25)) - mean(light, skin * (x < -0.25)),
        mean(light, skin * (y < -0.25)) - mean(light, below),
    )
    return torch.stack(found, 1)


def _areas(parts: dict[str, Tensor]) -> Tensor:
    hair, unit = parts["hair"], (EYE_DISTANCE * BUNDLED_SIZE) ** 2
    y, x = _centred(hair)
    shown = (
        hair * (y > 0.6),
        hair * (y <= 0.6) * ((x.abs() > 1.2) | (y < -1.2)),
        hair * (y > -1.2) * (y < -0.1) * (x.abs() <= 0.9),
        parts["eyes"],
        parts["mouth"],
    )
    return torch.stack([each.flatten(1).sum(1) / unit for each in shown], 1)


def _centred(like: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of pixels, from the middle between the eyes, in distances between the eyes."""
    size = like.shape[-1]
    place = (torch.arange(size, device=like.device) + 0.5) / size
    return ((place - EYES[1]) / EYE_DISTANCE).view(-1, 1), ((place - EYES[0]) / EYE_DISTANCE).view(1, -1)
