"""The reference form: the same weights, computed the way HeadNeRF's and the paper's description have it.

Nothing here is clever, on purpose. It is what the fast forms are compared with, in their results and in
their speed: 1x1 convolutions over all samples at once, with the codes repeated for every sample and
concatenated to the encoded point; every sample's features before the integral; a second pass of the 2D
renderer for the background alone; and every head of the encoder with its own crop, one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesep.camera import rays
from facesep.codes import ATTRIBUTES, Codes
from facesep.nets.crops import projected_points
from facesep.nets.decoder import Decoder
from facesep.nets.field import MODULATION, Field, positional_encoding
from facesep.nets.upsampler import Upsampler, blur
from facesep.nets.volume import sample_edges

TINY_LIGHT = 1e-10
"""What HeadNeRF adds to the light that passes a sample, so that its product never vanishes."""


@dataclass(frozen=True)
class ReferenceRendering:
    """What the reference form sees.

    Attributes:
        image: RGB ``Tensor[B, 3, S, S]`` in 0..1.
        background: the same of the background alone, ``Tensor[1, 3, S, S]``.
        features: the feature map ``Tensor[B, features, n, n]``.
        opacity: ``Tensor[B, 1, n, n]``.
    """

    image: Tensor
    background: Tensor
    features: Tensor
    opacity: Tensor


class ReferenceDecoder:
    """The decoder in its reference form; it shares the weights of ours.

    Args:
        decoder: gives weights and configuration.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.config = decoder.config

    @torch.no_grad()
    def __call__(self, codes: Codes) -> ReferenceRendering:
        """Renders a batch of codes."""
        origins, directions = rays(codes.rotation.float(), codes.translation.float(), self.config.ray_size)
        geometry = torch.cat([getattr(codes, name) for name in self.decoder.geometry], -1)
        appearance = torch.cat([getattr(codes, name) for name in self.decoder.appearance], -1)
        return self.render_rays(geometry, appearance, origins, directions)

    @torch.no_grad()
    def render_rays(
        self, geometry: Tensor, appearance: Tensor, origins: Tensor, directions: Tensor
    ) -> ReferenceRendering:
        """Renders given rays; the arguments are those of ``Decoder.render_rays``."""
        edges, stretch = sample_edges(self.config, origins, directions)
        points = origins[:, :, None] + (directions * stretch)[:, :, None] * edges[..., :-1, None]
        density, features = self.field(points, geometry, appearance)
        lengths = (edges.diff(dim=-1) * stretch).clamp_min(0)
        alpha = 1 - torch.exp(-density * lengths)
        passed = torch.cumprod(torch.cat((torch.ones_like(alpha[..., :1]), 1 - alpha + TINY_LIGHT), -1), -1)
        weights = alpha * passed[..., :-1]
        side = round(directions.shape[1] ** 0.5)
        integral = (features * weights[:, None]).sum(-1).unflatten(-1, (side, side))
        opacity = weights.sum(-1).unflatten(-1, (side, side))[:, None]
        background = self.decoder.background
        merged = integral + (1 - opacity) * background
        upsampler = self.decoder.upsampler
        return ReferenceRendering(render(upsampler, merged), render(upsampler, background), merged, opacity)

    def field(self, points: Tensor, geometry: Tensor, appearance: Tensor) -> tuple[Tensor, Tensor]:
        """The field on all samples.

        Args:
            points: ``Tensor[B, R, N, 3]``.
            geometry: ``Tensor[B, G]``.
            appearance: ``Tensor[B, A]``.

        Returns:
            Density ``Tensor[B, R, N]`` and features ``Tensor[B, features, R, N]``.
        """
        field = self.decoder.field
        rays_and_samples = points.shape[1:3]
        encoded = positional_encoding(points, field.frequencies).permute(0, 3, 1, 2).contiguous()
        shape = geometry[:, :, None, None].expand(-1, -1, *rays_and_samples)
        entry = torch.cat((encoded, shape), 1)
        hidden = F.relu(modulate(field, 0, convolve(field.trunk[0], entry), geometry))
        for index, layer in enumerate(field.trunk[1:], start=1):
            given = torch.cat((entry, hidden), 1) if index == field.skip else hidden
            hidden = F.relu(modulate(field, index, convolve(layer, given), geometry))
        density = field.density_activation(convolve(field.density, hidden))[:, 0]
        look = appearance[:, :, None, None].expand(-1, -1, *rays_and_samples)
        colour = convolve(field.colour_1, torch.cat((convolve(field.colour_0, hidden), look), 1))
        colour = modulate(field, -1, colour, appearance)
        return density, convolve(field.colour_2, F.relu(colour))


def modulate(field: Field, index: int, sums: Tensor, code: Tensor) -> Tensor:
    """Scales and shifts the sums ``[B, C, R, N]`` of a layer by a code, where the field is modulated."""
    if field.modulation is None:
        return sums
    scale, shift = (MODULATION * field.modulation[index](code))[..., None, None].chunk(2, 1)
    return (1 + scale) * sums + shift


def convolve(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer as a 1x1 convolution: ``Tensor[B, C, R, N]`` to ``Tensor[B, C', R, N]``."""
    return F.conv2d(x, layer.weight[..., None, None], layer.bias)


def render(upsampler: Upsampler, features: Tensor) -> Tensor:
    """The 2D renderer, layer by layer: ``Tensor[B, features, n, n]`` to RGB ``Tensor[B, 3, S, S]``."""
    rgb = upsampler.to_rgb[0](features)
    for level, to_rgb in zip(upsampler.levels, upsampler.to_rgb[1:], strict=True):
        hidden = F.leaky_relu(level.layer_1(features), 0.2)
        hidden = F.leaky_relu(level.layer_2(hidden), 0.2) + features.repeat(1, 4, 1, 1)
        features = F.leaky_relu(level.out(blur(F.pixel_shuffle(hidden, 2))), 0.2)
        rgb = F.interpolate(rgb, scale_factor=2.0, mode="bilinear", align_corners=False)
        rgb = blur(rgb) + to_rgb(features)
    return torch.sigmoid(rgb)


@torch.no_grad()
def encode(encoder: nn.Module, image: Tensor, points: Tensor | None = None) -> Codes:
    """The encoder in its reference form: every head alone, with a crop of its own.

    Args:
        encoder: ours; it gives the heads.
        image: canonical RGB ``Tensor[B, 3, S, S]`` in 0..1.
        points: ``Tensor[B, 5, 2]`` for the paper's shape head; by default those of the predicted pose.
    """
    found = {name: encoder.heads[name](image) for name in ATTRIBUTES if name != "shape"}
    if getattr(encoder, "skin", None) is not None:
        found["illumination"] = found["illumination"] - found["texture"] @ encoder.skin.float().mT
    if points is None:
        points = projected_points(found["rotation"], found["translation"], image.shape[-1])
    return Codes(shape=encoder.heads["shape"](image, points), **found)
