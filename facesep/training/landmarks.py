"""The landmark head of a checkpoint: ridge regression from codes to the landmarks of photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from facesep.camera import CAMERA_DISTANCE, CENTRE_X, CENTRE_Y, FOCAL, TEMPLATE_5, WINDOW, rotation_matrix
from facesep.codes import CODE_SIZES, Codes
from facesep.data.portraits import PortraitSource
from facesep.data.source import RejectError
from facesep.errors import DataError
from facesep.faces.types import Aligned
from facesep.nets.landmarks import CODE, COUNT, NAMED, LandmarkHead

NOSE_TIP = 4
"""Vertex of the mesh whose mean depth is that of the five-point template."""
PARTS = {"lips": list(range(40)), "eyes": list(range(40, 72)), "face": list(range(COUNT))}
"""Groups of landmarks whose errors are reported."""
RIDGE = {"shape": 200.0, "expression": 10.0}
"""Weight of the squared coefficients of each code. Expressions get little: a larger one would leave their
motion to the many numbers of the shape, so that a smile alone moved half as far as it should."""


class Sample(NamedTuple):
    """One photo: its codes (one face) and its landmarks.

    ``landmarks`` is ``float32[478, 3]``: x, y and z as shares of the canonical image's side, z relative to
    the head's centre and smaller when nearer.
    """

    codes: Codes
    landmarks: np.ndarray


def head_points(codes: Codes, landmarks: Tensor) -> Tensor:
    """Landmarks of photos in the head frame.

    Args:
        codes: a batch, with the poses.
        landmarks: ``Tensor[B, N, 3]``, shares of the image's side.

    Returns:
        ``Tensor[B, N, 3]`` decimetres; the mean nose tip lies where the template has it.
    """
    rotation, translation = rotation_matrix(codes.rotation), codes.translation[:, None]

    def at(shift: float) -> Tensor:
        z = translation[..., 2] - landmarks[..., 2] * WINDOW + shift
        depth = CAMERA_DISTANCE - z
        x = (landmarks[..., 0] - CENTRE_X) / FOCAL * depth
        y = (CENTRE_Y - landmarks[..., 1]) / FOCAL * depth
        return (torch.stack((x, y, z), -1) - translation) @ rotation

    return at(TEMPLATE_5[2][2] - float(at(0.0)[:, NOSE_TIP, 2].mean()))


def spread_out(points: Tensor, first: Iterable[int], count: int) -> list[int]:
    """Adds to some points, one by one, the point that is farthest from all chosen ones."""
    chosen = list(first)
    nearest = torch.cdist(points, points[chosen]).amin(1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).norm(dim=1))
    return chosen


def fit_landmarks(samples: list[Sample]) -> LandmarkHead:
    """Fits the head to photos.

    Raises:
        DataError: for less than 100 photos.
    """
    if len(samples) < 100:
        raise DataError(f"{len(samples)} photos with landmarks are too few: at least 100 are needed")
    codes = Codes.stack([sample.codes for sample in samples])
    points = head_points(codes, torch.from_numpy(np.stack([sample.landmarks for sample in samples])).float())
    vertices = spread_out(points.mean(0), NAMED, COUNT)
    points = points[:, vertices].flatten(1).double()
    code = torch.cat([getattr(codes, name) for name in CODE], 1).double()
    middle, mean = code.mean(0), points.mean(0)
    code = code - middle
    penalty = torch.cat([torch.full((CODE_SIZES[name],), RIDGE[name]) for name in CODE]).to(code)
    weight = torch.linalg.solve(code.mT @ code + penalty.diag(), code.mT @ (points - mean)).mT
    head = LandmarkHead()
    head.line.weight.data = weight.float()
    head.line.bias.data = (mean - weight @ middle).float()
    head.vertices.copy_(torch.tensor(vertices))
    return head.requires_grad_(False).eval()


@torch.no_grad()
def errors(
    head: LandmarkHead, samples: list[Sample], parts: dict[str, list[int]]
) -> dict[str, dict[str, float]]:
    """Mean distance of landmarks in the image plane, as a share of the eye distance.

    Args:
        head: the fitted head.
        samples: photos that it was not fitted to.
        parts: names of groups of landmarks, numbers of the head's.

    Returns:
        For each part the head's error and that of the mean face.
    """
    codes = Codes.stack([sample.codes for sample in samples])
    truth = head_points(codes, torch.from_numpy(np.stack([s.landmarks for s in samples])).float())
    truth = truth[:, head.vertices]
    found = head(codes)
    eyes = abs(TEMPLATE_5[0][0] - TEMPLATE_5[1][0])

    def distance(points: Tensor, part: list[int]) -> float:
        return float((points - truth)[:, part, :2].norm(dim=-1).mean() / eyes)

    mean = truth.mean(0, keepdim=True)
    return {
        name: {"head": distance(found, part), "mean face": distance(mean, part)}
        for name, part in parts.items()
    }


def read_samples(
    encode: Callable[[list[Aligned]], Codes],
    source: PortraitSource,
    size: int,
    split: str,
    without: Iterable[str],
) -> list[Sample]:
    """Codes and landmarks of the photos of a portraits folder; unusable photos are passed over.

    Args:
        encode: such as ``facesep.FaceSep.encode``.
        source: the folder.
        size: side of the canonical crops in pixels.
        split: ``train`` or ``val``.
        without: names of sets that are left out.
    """
    samples = []
    excluded = source.excluded()
    for name in source.names():
        if source.facts(name)["split"] != split or name.partition("/")[0] in without or name in excluded:
            continue
        try:
            photo = source.prepare(name, size)
        except RejectError:
            continue
        aligned = Aligned.of_crop(photo.image, np.asarray(photo.meta["points5"]))
        landmarks = np.asarray(photo.meta["landmarks"], dtype=np.float32) / size
        samples.append(Sample(encode([aligned])[0], landmarks))
    return samples
