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


class DetailGraph(nn.Module):
    """One edit or turn of one portrait, see ``facesep.detail.compose.compose``.

    Args:
        sep: gives the decoder and the landmark head.
        size: side of the result in pixels.
    """

    def __init__(self, sep: FaceSep, size: int) -> None:
        super().__init__()
        self.decoder, self.landmarks, self.size = sep.decoder, sep.landmarks, size

    def forward(
        self,
        colours: Tensor,
        matte: Tensor,
        hair: Tensor,
        plain: Tensor,
        depth: Tensor,
        opacity: Tensor,
        own: Tensor,
        codes: Tensor,
    ) -> Tensor:
        """The fields of a ``Source``, its codes and those of the result to ``Tensor[1, 4, S, S]``.

        Codes are ``Tensor[1, 705]`` in the order of ``Codes.vector``; the result is RGB with straight
        alpha.
        """
        source = Source(Codes.from_vector(own), colours, matte, hair, plain, depth, opacity)
        seen = compose(self.decoder, self.landmarks, source, Codes.from_vector(codes), self.size)
        return torch.cat((seen.colours, seen.alpha), 1)


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
    inputs = {  # one tensor each: the exporter takes a tensor given twice for one input
        "colours": torch.ones(1, 3, size, size),
        "matte": torch.ones(1, 1, size, size),
        "hair": torch.ones(1, 1, size, size),
        "plain": torch.ones(1, 3, image // 2, image // 2),
        "depth": torch.full((1, 1, rays, rays), 10.0),
        "opacity": torch.ones(1, 1, rays, rays),
        "own": torch.zeros(1, length),
        "codes": torch.zeros(1, length),
    }
    module = DetailGraph(sep, size)
    return Part("detail", module, inputs, ("picture",), module, None)
