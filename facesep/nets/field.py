"""The conditioned radiance field of the decoder: point and codes -> density and colour features."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesep.config import DecoderConfig

POINT_START = 4.0
"""Typical size of the point's share of the first layer's sums before training; half at the skip layer."""
CODE_START = 0.1
"""The same for the geometry codes, if their entries are about 1."""


def positional_encoding(points: Tensor, frequencies: int) -> Tensor:
    """Raw coordinates followed by ``sin(2^k x), cos(2^k x)`` for k = 0, 1, ... (HeadNeRF's order).

    Args:
        points: ``Tensor[..., 3]``.
        frequencies: number of octaves K.

    Returns:
        ``Tensor[..., 3 + 6 K]``: x, y, z, then per octave three sines and three cosines.
    """
    scale = 2.0 ** torch.arange(frequencies, dtype=points.dtype, device=points.device)
    angles = points[..., None, :] * scale[:, None]  # [..., K, 3]
    waves = torch.stack((angles.sin(), angles.cos()), -2).flatten(-3)
    return torch.cat((points, waves), -1)


def _linear_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``relu(x W^T + b)`` with a bias per image, fused into one batched product."""
    product = torch.baddbmm(bias, x, weight.t().expand(len(x), -1, -1))
    return F.relu(product, inplace=True)


class Folded(NamedTuple):
    """A field for given codes: what need not be computed again for every sample.

    Attributes:
        first: ``Tensor[B, 1, width]``, bias of the first layer.
        again: the same of the skip layer, None without one.
        colour: ``Tensor[B, 1, colour_width]``, bias of the merged colour layer.
        skip_weight: ``Tensor[width, encoded + width]``, the skip layer without its code columns.
        colour_weight: ``Tensor[colour_width, width]``, the first two colour layers in one.
    """

    first: Tensor
    again: Tensor | None
    colour: Tensor
    skip_weight: Tensor | None
    colour_weight: Tensor


class Field(nn.Module):
    """HeadNeRF's MLP with the constant codes folded into per-image biases.

    Geometry codes enter the first and the skip layer, appearance codes the colour branch, each beside
    the encoded point or hidden features. Codes do not change along an image's samples, so the columns
    that multiply them act as a bias: the result is the same, the work is a quarter less. Two more exact
    rearrangements: there is no activation between the first two colour layers, so their matrices are
    multiplied once per call; and the last layer is linear, so it is applied after the volume integral
    (:meth:`features`).

    Args:
        config: sizes.
        geometry: length of the geometry code (shape, expression and hair).
        appearance: length of the appearance code (texture and illumination).
    """

    def __init__(self, config: DecoderConfig, geometry: int, appearance: int) -> None:
        super().__init__()
        self.encoded = 3 + 6 * config.frequencies
        self.frequencies = config.frequencies
        self.skip = config.skip
        self.density_activation = F.relu if config.density == "relu" else F.softplus
        entry = self.encoded + geometry
        inputs = [entry] + [
            config.width + (entry if index == config.skip and index else 0)
            for index in range(1, config.layers)
        ]
        self.trunk = nn.ModuleList(nn.Linear(size, config.width) for size in inputs)
        self.density = nn.Linear(config.width, 1)
        self.colour_0 = nn.Linear(config.width, config.width)
        self.colour_1 = nn.Linear(config.width + appearance, config.colour_width)
        self.colour_2 = nn.Linear(config.colour_width, config.features)
        for layer in [*self.trunk[1:], self.density, self.colour_0]:
            nn.init.xavier_uniform_(layer.weight)
        # The few columns of the point would drown among the hundreds of the codes, and learning would take
        # twice the steps to a given error: the point starts strong, the codes weak.
        for index, start in {0: POINT_START, self.skip: POINT_START / 2}.items():
            point, code = self.trunk[index].weight.data[:, :entry].split((self.encoded, geometry), 1)
            nn.init.normal_(point, std=start * self.encoded**-0.5)
            nn.init.normal_(code, std=CODE_START * geometry**-0.5)
        nn.init.constant_(self.density.bias, config.density_bias)

    def folded(self, geometry: Tensor, appearance: Tensor) -> Folded:
        """Folds the codes into biases of the first, the skip and the colour layer.

        Args:
            geometry: ``Tensor[B, G]``.
            appearance: ``Tensor[B, A]``.
        """
        at = slice(self.encoded, self.encoded + geometry.shape[-1])
        first = F.linear(geometry, self.trunk[0].weight[:, at], self.trunk[0].bias)[:, None]
        again = skip_weight = None
        if self.skip:
            layer = self.trunk[self.skip]
            again = F.linear(geometry, layer.weight[:, at], layer.bias)[:, None]
            skip_weight = torch.cat((layer.weight[:, : at.start], layer.weight[:, at.stop :]), 1)
        width = self.colour_0.out_features
        colour = F.linear(appearance, self.colour_1.weight[:, width:], self.colour_1.bias)
        colour = colour + self.colour_1.weight[:, :width] @ self.colour_0.bias
        merged = self.colour_1.weight[:, :width] @ self.colour_0.weight
        return Folded(first, again, colour[:, None], skip_weight, merged)

    def forward(self, points: Tensor, folded: Folded) -> tuple[Tensor, Tensor]:
        """Evaluates the field.

        Args:
            points: ``Tensor[B, P, 3]`` in the head frame, decimetres.
            folded: what :meth:`folded` returned for this batch.

        Returns:
            ``(density, hidden)``: ``Tensor[B, P]`` per decimetre, not negative, in float32; and
            ``Tensor[B, P, colour_width]``, hidden colour features.
        """
        encoded = positional_encoding(points, self.frequencies).to(self.density.weight.dtype)
        hidden = _linear_relu(encoded, self.trunk[0].weight[:, : self.encoded], folded.first)
        for index, layer in enumerate(self.trunk[1:], start=1):
            if index == self.skip:
                hidden = _linear_relu(torch.cat((encoded, hidden), -1), folded.skip_weight, folded.again)
            else:
                hidden = F.relu(layer(hidden), inplace=True)
        density = self.density_activation(self.density(hidden)[..., 0].float())
        return density, _linear_relu(hidden, folded.colour_weight, folded.colour)

    def features(self, integral: Tensor, opacity: Tensor) -> Tensor:
        """The last, linear colour layer, applied after the volume integral.

        Args:
            integral: ``Tensor[B, R, colour_width]``, the weighted sum of hidden features of a ray.
            opacity: ``Tensor[B, R]``, the sum of the weights.

        Returns:
            ``Tensor[B, R, features]``.
        """
        return F.linear(integral, self.colour_2.weight) + opacity[..., None] * self.colour_2.bias
