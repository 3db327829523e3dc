"""Photo detail as one graph of fixed size: a photo's tensors and codes in, a picture out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from facesep.backends.parts import Part
from facesep.codes import CODE_SIZES, Codes
from facesep.detail.compose import compose
from facesep.detail.render import check_size
from facesep.detail.source import Source

if TYPE_CHECKING:
    from facesep.model import FaceSep


FIELDS = ("colours", "matte", "hair", "plain", "depth", "opacity", "codes")
"""Inputs of each photo, as in ``Source``; codes as the vectors of ``Codes.vector``."""


class DetailGraph(nn.Module):
    """An edit of one portrait, with or without a donor's pixels, see ``facesep.detail.compose.compose``.

    Args:
        sep: gives the decoder and the landmark head.
        size: side of the result in pixels.
    """

    def __init__(self, sep: FaceSep, size: int) -> None:
        super().__init__()
        self.decoder, self.landmarks, self.size = sep.decoder, sep.landmarks, size

    def forward(self, codes: Tensor, hair_share: Tensor, mouth_share: Tensor, *photos: Tensor) -> Tensor:
        """Codes of the result, shares of the donor's pixels, and two photos to a picture.

        Args:
            codes: ``Tensor[1, 705]``.
            hair_share: ``Tensor[1, 1, 1, 1]`` in 0..1, how much of the hair is the donor's.
            mouth_share: the same for what open lips show.
            *photos: ``FIELDS`` of the base, then those of the donor; without a donor those of the base
                again, with shares of 0.

        Returns:
            ``Tensor[1, 4, S, S]``: RGB with straight alpha.
        """
        base, donor = (
            Source(Codes.from_vector(own), *pixels)
            for *pixels, own in (photos[: len(FIELDS)], photos[len(FIELDS) :])
        )
        seen = compose(
            self.decoder,
            self.landmarks,
            base,
            Codes.from_vector(codes),
            self.size,
            hair=donor,
            regrown=hair_share,
            mouth=donor,
            mouth_share=mouth_share,
        )
        return torch.cat((seen.colours, seen.alpha), 1)


def inputs_of(source: Source, prefix: str) -> dict[str, Tensor]:
    """The inputs of the graph that one photo gives, by name.

    Args:
        source: one photo, of the graph's size.
        prefix: ``base`` or ``donor``.
    """
    values = {name: getattr(source, name) for name in FIELDS[:-1]} | {"codes": source.codes.vector()}
    return {f"{prefix}_{name}": value for name, value in values.items()}


def detail_part(sep: FaceSep, size: int) -> Part:
    """Photo detail for photos and results of one size.

    Args:
        sep: the model, on a CPU.
        size: side of the photo's crop and of the result in pixels.

    Raises:
        ConfigError: for something that is not a whole number from 16 to 1024.
    """
    rays, image = sep.config.decoder.ray_size, sep.image_size
    check_size(size)
    length = sum(CODE_SIZES.values())

    def photo() -> Source:  # tensors of its own: the exporter takes a tensor given twice for one input
        return Source(
            Codes.from_vector(torch.zeros(1, length)),
            colours=torch.ones(1, 3, size, size),
            matte=torch.ones(1, 1, size, size),
            hair=torch.ones(1, 1, size, size),
            plain=torch.ones(1, 3, image // 2, image // 2),
            depth=torch.full((1, 1, rays, rays), 10.0),
            opacity=torch.ones(1, 1, rays, rays),
        )

    inputs = {"codes": torch.zeros(1, length)}
    inputs |= {name: torch.zeros(1, 1, 1, 1) for name in ("hair_share", "mouth_share")}
    inputs |= inputs_of(photo(), "base") | inputs_of(photo(), "donor")
    module = DetailGraph(sep, size)
    return Part("detail", module, inputs, ("picture",), module, None)
