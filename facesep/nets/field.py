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
MODULATION = 0.1
"""Factor of what modulates layers: hundreds of entries of about 1 move it with every step of an optimiser."""


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


class Folded(NamedTuple):
    """A field for given codes: what need not be computed again for every sample.

    All by layer, those of the trunk and then the merged colour layer.

    Attributes:
        weights: ``Tensor[out, in]``, without the columns of the codes.
        biases: with the codes' share; ``Tensor[out]``, or ``Tensor[B, 1, out]`` where it differs by image.
        scales: what the sums without their bias are multiplied by, ``Tensor[B, 1, out]``; None for a field
            that is not modulated.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    scales: tuple[Tensor, ...] | None


def _layer(x: Tensor, folded: Folded, index: int) -> Tensor:
    """``relu(s W x + b)``; where something differs by image, fused into one batched product."""
    weight, bias = folded.weights[index], folded.biases[index]
    if folded.scales is not None:
        weight = folded.scales[index].mT * weight
    elif bias.ndim == 1:
        return F.relu(F.linear(x, weight, bias), inplace=True)
    return F.relu(torch.baddbmm(bias, x, weight.mT.expand(len(x), -1, -1)), inplace=True)


class Field(nn.Module):
    """HeadNeRF's MLP with the constant codes folded into per-image biases.

    Geometry codes enter the first and the skip layer, appearance codes the colour branch, each beside
    the encoded point or hidden features. Codes do not change along an image's samples, so the columns
    that multiply them act as a bias: the result is the same, the work is a quarter less. Two more exact
    rearrangements: there is no activation between the first two colour layers, so their matrices are
    multiplied once per call; and the last layer is linear, so it is applied after the volume integral
    (``features``).

    With ``config.modulated``, which HeadNeRF has not, codes also scale and shift the sums of every layer
    (FiLM, Perez et al. 2018): ``relu((1 + s(z)) (W x + b) + t(z))``. That is folded, too: into
    the weights and biases of an image.

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
        self.modulation = None
        if config.modulated:
            sizes = [(geometry, config.width)] * config.layers + [(appearance, config.colour_width)]
            self.modulation = nn.ModuleList(nn.Linear(code, 2 * width, bias=False) for code, width in sizes)
            for layer in self.modulation:
                nn.init.zeros_(layer.weight)
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
        """Folds the codes into biases of the first, the skip and the colour layer, and modulations into all.

        Args:
            geometry: ``Tensor[B, G]``.
            appearance: ``Tensor[B, A]``.
        """
        at = slice(self.encoded, self.encoded + geometry.shape[-1])
        weights, biases = [], []
        for index, layer in enumerate(self.trunk):
            weight, bias = layer.weight, layer.bias
            if index in (0, self.skip):
                bias = F.linear(geometry, weight[:, at], bias)[:, None]
                weight = torch.cat((weight[:, : at.start], weight[:, at.stop :]), 1)
            weights.append(weight)
            biases.append(bias)
        width = self.colour_0.out_features
        merged = self.colour_1.weight[:, :width]
        bias = F.linear(appearance, self.colour_1.weight[:, width:], self.colour_1.bias)
        weights.append(merged @ self.colour_0.weight)
        biases.append((bias + merged @ self.colour_0.bias)[:, None])
        if self.modulation is None:
            return Folded(tuple(weights), tuple(biases), None)
        codes = [geometry] * len(self.trunk) + [appearance]
        moves = [
            MODULATION * layer(code)[:, None] for layer, code in zip(self.modulation, codes, strict=True)
        ]
        scales, shifts = zip(*(move.tensor_split(2, -1) for move in moves), strict=True)
        scales = tuple(1 + scale for scale in scales)
        moved = tuple(s * bias + t for s, bias, t in zip(scales, biases, shifts, strict=True))
        return Folded(tuple(weights), moved, scales)

    def forward(self, points: Tensor, folded: Folded) -> tuple[Tensor, Tensor]:
        """Evaluates the field.

        Args:
            points: ``Tensor[B, P, 3]`` in the head frame, decimetres.
            folded: what ``folded`` returned for this batch.

        Returns:
            ``(density, hidden)``: ``Tensor[B, P]`` per decimetre, not negative, in float32; and
            ``Tensor[B, P, colour_width]``, hidden colour features.
        """
        encoded = positional_encoding(points, self.frequencies).to(self.density.weight.dtype)
        hidden = _layer(encoded, folded, 0)
        for index in range(1, len(self.trunk)):
            hidden = _layer(torch.cat((encoded, hidden), -1) if index == self.skip else hidden, folded, index)
        density = self.density_activation(self.density(hidden)[..., 0].float())
        return density, _layer(hidden, folded, -1)

    def features(self, integral: Tensor, opacity: Tensor) -> Tensor:
        """The last, linear colour layer, applied after the volume integral.

        Args:
            integral: ``Tensor[B, R, colour_width]``, the weighted sum of hidden features of a ray.
            opacity: ``Tensor[B, R]``, the sum of the weights.

        Returns:
            ``Tensor[B, R, features]``.
        """
        return F.linear(integral, self.colour_2.weight) + opacity[..., None] * self.colour_2.bias
