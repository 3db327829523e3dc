"""All photos of a set as codes, for measures that swap and turn them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facesep.codes import Codes
from facesep.data.heads import PhotoSet
from facesep.errors import DataError
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


def encode_all(sep: FaceSep, photos: PhotoSet, batch: int = 16, steps: int = 0) -> Encoded:
    """Encodes all photos that can be used.

    Args:
        sep: the model.
        photos: what to encode.
        batch: photos at a time.
        steps: gradient steps after the forward pass.

    Raises:
        DataError: if there are none.
    """
    found = {place: one for place in range(len(photos)) if (one := photos.read(place)) is not None}
    if not found:
        raise DataError("none of the photos can be used: detection refused them all")
    some = list(found.values())
    aligned = [photo.aligned for photo in some]
    parts = [sep.encode(aligned[start : start + batch], fit=steps) for start in range(0, len(some), batch)]
    targets = torch.stack([photo.target for photo in some])
    return Encoded(Codes.stack(parts), [photo.person for photo in some], targets, list(found))
