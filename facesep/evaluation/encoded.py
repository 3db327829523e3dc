"""All photos of a set as codes, for measures that swap and turn them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facesep.codes import Codes
from facesep.errors import DataError
from facesep.evaluation.comparison import PhotoSet
from facesep.model import FaceSep


@dataclass(frozen=True, eq=False)
class Encoded:
    """What is known of ``N`` photos.

    Attributes:
        codes: a batch of N.
        people: who is on each.
        targets: ``Tensor[N, 3, S, S]`` heads on white, in 0..1.
        places: where each is in its set.
    """

    codes: Codes
    people: list[str]
    targets: Tensor
    places: list[int]


@torch.no_grad()
def encode_all(sep: FaceSep, photos: PhotoSet, batch: int = 16, steps: int = 0) -> Encoded:
    """Encodes all photos that can be used, with so many gradient steps after the forward pass.

    Raises:
        DataError: if there are none.
    """
    places, found = [], []
    for place in range(len(photos)):
        photo = photos.read(place)
        if photo is not None:
            places.append(place)
            found.append(photo)
    if not found:
        raise DataError("none of the photos can be used: detection refused them all")
    parts = []
    for start in range(0, len(found), batch):
        parts.append(sep.encode([photo.aligned for photo in found[start : start + batch]], fit=steps))
    targets = torch.stack([photo.target for photo in found])
    return Encoded(Codes.stack(parts), [photo.person for photo in found], targets, places)
