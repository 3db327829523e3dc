"""What face recognition networks have in common: unit embeddings of canonical images."""

from __future__ import annotations

from abc import abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn


class Recogniser(nn.Module):
    """A network that embeds aligned faces; L_id and the identity metric compare its embeddings."""

    @abstractmethod
    def crop(self, image: Tensor, points: Tensor) -> Tensor:
        """The network's input from canonical images; the arguments are those of ``embed``."""

    def embed(self, image: Tensor, points: Tensor, mirror: bool = True) -> Tensor:
        """Unit embeddings of canonical images.

        Args:
            image: ``Tensor[B, 3, S, S]`` RGB in [0, 1].
            points: ``Tensor[B, 5, 2]`` eyes, nose tip and mouth corners in its pixels, image left first.
            mirror: average with the mirror image's embedding: steadier, at twice the work.

        Returns:
            ``Tensor[B, n]``; compare with cosines.
        """
        face = self.crop(image, points)
        if not mirror:
            return F.normalize(self(face), dim=-1)
        both = F.normalize(self(face), dim=-1) + F.normalize(self(face.flip(-1)), dim=-1)
        return F.normalize(both, dim=-1)
