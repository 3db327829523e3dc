"""What a photo gives: its pixels in the canonical frame, which of them are head and hair, and their depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.codes import Codes
from facesep.detail.flow import Surface, blur, continued, resize, surface
from facesep.faces.matte import refine_mask
from facesep.faces.parsing import BUNDLED_SIZE, face_probabilities
from facesep.nets.decoder import Decoder
from facesep.nets.face_parser import HAIR, head_probability

MOST_PIXELS = 1024
"""Largest side of a canonical crop that is kept."""
FINE = 512
"""Photos of fewer pixels are resampled at up to twice their own."""
DOUBT = 0.03
"""A parser is never quite sure: probabilities nearer than this to 0 or 1 are taken for that."""
REACH = 0.1
"""How far hair may stand out from the model's head, as a share of the image's side."""
INSIDE = 0.97
"""Matte from which a pixel shows the head alone."""
PYRAMID = 64
"""Sides of images are multiples of this."""


@dataclass(frozen=True, eq=False)
class Source:
    """Photos in the canonical frame, a batch.

    Attributes:
        codes: of the photos, as they were encoded.
        colours: ``Tensor[B, 3, P, P]`` in 0..1, the head, continued beyond its matte.
        matte: ``Tensor[B, 1, P, P]`` in 0..1, the head: face, ears, hair and glasses.
        hair: ``Tensor[B, 1, P, P]`` in 0..1, the hair.
        plain: ``Tensor[B, 3, m, m]``, the render of the codes, small: what one with other colours is compared
            with.
        depth: ``Tensor[B, 1, n, n]``, see ``facesep.detail.flow.Surface``.
        opacity: ``Tensor[B, 1, n, n]``.
    """

    codes: Codes
    colours: Tensor
    matte: Tensor
    hair: Tensor
    plain: Tensor
    depth: Tensor
    opacity: Tensor

    @property
    def surface(self) -> Surface:
        """The surface of the head by the codes."""
        return Surface(self.depth, self.opacity)

    @property
    def size(self) -> int:
        """Side of the crop in pixels."""
        return self.colours.shape[-1]

    def __len__(self) -> int:
        return len(self.colours)

    def map(self, function: Callable[[Any], Any]) -> Source:
        """Applies a function to the codes and every tensor."""
        return Source(**{field.name: function(getattr(self, field.name)) for field in fields(self)})

    def __getitem__(self, index: slice) -> Source:
        return self.map(lambda value: value[index])

    def expand(self, count: int) -> Source:
        """One photo repeated (without a copy) to a batch."""
        if len(self) == count:
            return self
        return self.map(
            lambda value: (
                Codes.from_vector(value.vector().expand(count, -1))
                if isinstance(value, Codes)
                else value.expand(count, -1, -1, -1)
            )
        )

    @staticmethod
    def stack(sources: list[Source]) -> Source:
        """Joins batches; photos are brought to the largest side."""
        size = max(one.size for one in sources)

        def join(name: str) -> Any:
            values = [getattr(one, name) for one in sources]
            if name == "codes":
                return Codes.stack(values)
            if name in ("colours", "matte", "hair"):
                values = [resize(value, size, "bicubic").clamp(0, 1) for value in values]
            return torch.cat(values)

        return Source(**{field.name: join(field.name) for field in fields(Source)})


def source_size(side: float, least: int) -> int:
    """Side in pixels at which a canonical window of ``side`` photo pixels is kept."""
    return max(round(max(fine(side), least) / PYRAMID), 1) * PYRAMID


def fine(side: float) -> int:
    """Side in pixels at which a window of ``side`` photo pixels may be resampled twice and stays sharp."""
    return int(min(max(side, min(2 * side, FINE), 16), MOST_PIXELS))


@torch.no_grad()
def read_source(decoder: Decoder, codes: Codes, crops: Tensor) -> Source:
    """Reads canonical crops for what they show of the head.

    Args:
        decoder: the decoder D.
        codes: of the same faces, a batch.
        crops: ``Tensor[B, 3, P, P]`` in 0..1.
    """
    rendering = decoder(codes)
    seen = surface(rendering)
    probabilities = face_probabilities(resize(crops, BUNDLED_SIZE, "bicubic").clamp(0, 1))
    near = resize(_near(seen.opacity), crops.shape[-1])
    masks = torch.cat((head_probability(probabilities), probabilities[:, HAIR : HAIR + 1]), 1)
    matte, hair = _certain(refine_mask(crops, masks)).split(1, 1)
    matte = matte * near
    hair = torch.minimum(hair, matte)
    # Skin that fades into a neck keeps the photo's pixels; at hair and background, the edge is a mixture.
    skin = resize(1 - probabilities[:, :1] - probabilities[:, HAIR : HAIR + 1], crops.shape[-1]) > INSIDE
    # Soft edges keep some of their own colour: single strands are all edge.
    strands = ((matte - 0.5) / (INSIDE - 0.5)).clamp(0, 1).square()
    colours = continued(crops, torch.maximum(strands, (skin & (matte > 0)).to(crops.dtype)))
    return Source(codes, colours, matte, hair, repainted(decoder, codes), seen.depth, seen.opacity)


def repainted(decoder: Decoder, codes: Codes) -> Tensor:
    """A render of low frequencies, ``Tensor[B, 3, m, m]``: a quarter of the rays do."""
    return decoder(codes, ray_size=decoder.config.ray_size // 2).image.float()


def _near(opacity: Tensor) -> Tensor:
    """1 on the model's head and beside it, 0 farther away: a parser's mistake there is no hair."""
    radius = max(round(REACH * opacity.shape[-1]), 1)
    wide = F.max_pool2d(opacity, 2 * radius + 1, 1, radius)
    return blur(wide, radius / 2).clamp(0, 1)


def _certain(mask: Tensor) -> Tensor:
    return ((mask - DOUBT) / (1 - 2 * DOUBT)).clamp(0, 1)
