"""The decoder D: seven codes -> an image of the head on white, from the viewpoint in the codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from facesep.attributes import of_branch
from facesep.camera import rays
from facesep.codes import CODE_SIZES, Codes
from facesep.config import DecoderConfig
from facesep.nets.field import Field, Folded
from facesep.nets.upsampler import Upsampler
from facesep.nets.volume import composite_weights, jitter_edges, sample_edges

CHUNK = 2048
"""Samples evaluated at a time without autograd: their activations then stay in the processor's cache."""
GPU_CHUNK = 262144
"""The same on a GPU, which is slow only at many small calls; this bounds the memory of a batch."""
RECOMPUTED = 32768
"""Samples whose activations are held at a time when they are recomputed in the backward pass."""


@dataclass(frozen=True)
class Rendering:
    """What the decoder sees.

    Attributes:
        image: RGB ``Tensor[B, 3, S, S]`` in 0..1, white background.
        opacity: ``Tensor[B, 1, n, n]`` in 0..1 on the ray grid: how much of each cell the head covers.
        distance: ``Tensor[B, 1, n, n]``, expected distance of the surface from the camera in decimetres,
            divided by the opacity (meaningless where that is near zero).
    """

    image: Tensor
    opacity: Tensor
    distance: Tensor


class Decoder(nn.Module):
    """HeadNeRF-style decoder with shape, expression and hair in its geometry branch.

    The geometry code is [shape, expression, hair], the appearance code [texture, illumination] (see
    ``facesep.attributes``); rotation and translation place the camera (see ``facesep.camera``).
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.geometry = tuple(name for name in of_branch("density") if config.hair or name != "hair")
        self.appearance = of_branch("colour")
        self.field = Field(
            config,
            sum(CODE_SIZES[name] for name in self.geometry),
            sum(CODE_SIZES[name] for name in self.appearance),
        )
        self.background = nn.Parameter(torch.ones(1, config.features, config.ray_size, config.ray_size))
        self.upsampler = Upsampler(config)
        self.recompute = False
        """Whether training computes the field's activations a second time instead of keeping them."""

    def forward(
        self,
        codes: Codes,
        *,
        ray_size: int | None = None,
        levels: int | None = None,
        jitter: bool = False,
    ) -> Rendering:
        """Renders a batch of codes.

        Args:
            codes: batched codes.
            ray_size: rays along each side; by default that of the config.
            levels: upsampler levels, all by default; the image has ``ray_size * 2^levels`` pixels.
            jitter: stratified jitter of the samples, for training.
        """
        count = ray_size or self.config.ray_size
        origins, directions = rays(codes.rotation.float(), codes.translation.float(), count)
        dtype = self.background.dtype
        geometry = torch.cat([getattr(codes, name) for name in self.geometry], -1).to(dtype)
        appearance = torch.cat([getattr(codes, name) for name in self.appearance], -1).to(dtype)
        return self.render_rays(geometry, appearance, origins, directions, levels=levels, jitter=jitter)

    def render_rays(
        self,
        geometry: Tensor,
        appearance: Tensor,
        origins: Tensor,
        directions: Tensor,
        *,
        levels: int | None = None,
        jitter: bool = False,
    ) -> Rendering:
        """Renders given rays, one square grid per image.

        Args:
            geometry: ``Tensor[B, G]``, the concatenated geometry codes.
            appearance: ``Tensor[B, A]``, the concatenated appearance codes.
            origins: ``Tensor[B, 1, 3]`` in the head frame, decimetres.
            directions: unit ``Tensor[B, n * n, 3]``, row by row.
            levels: upsampler levels, all by default.
            jitter: stratified jitter of the samples.
        """
        folded = self.field.folded(geometry, appearance)
        edges, stretch = sample_edges(self.config, origins, directions)
        along, met = (directions, edges, stretch), None
        if leaves_out(self.config, geometry.device):
            met = (edges[..., -1] > edges[..., 0]).any(0)
            along = tuple(tensor[:, met] for tensor in along)
        step, march = max(along[0].shape[1], 1), self._march
        if not torch.is_grad_enabled() and not torch.compiler.is_exporting():
            samples = CHUNK if geometry.device.type == "cpu" else GPU_CHUNK
            step = max(samples // (self.config.samples * len(geometry)), 16)
        elif self.recompute:
            step = max(RECOMPUTED // (self.config.samples * len(geometry)), 16)
            march = partial(checkpoint, self._march, use_reentrant=False)
        parts = [
            march(folded, origins, *chunk, jitter)
            for chunk in zip(*(tensor.split(step, 1) for tensor in along), strict=True)
        ]
        integral, opacity, distance = (_spread(torch.cat(part, 1), met) for part in zip(*parts, strict=True))
        features = self.field.features(integral.to(geometry.dtype), opacity.to(geometry.dtype))
        side = round(directions.shape[1] ** 0.5)
        features, opacity, distance = (
            x.transpose(1, 2).unflatten(-1, (side, side))
            for x in (features, opacity[..., None], distance[..., None])
        )
        background = self.background
        if side != background.shape[-1]:
            background = F.interpolate(background, size=(side, side), mode="area")
        merged = features + (1 - opacity).to(features.dtype) * background.to(features.dtype)
        image = self.upsampler(merged, levels)
        return Rendering(image, opacity, distance / opacity.clamp_min(1e-6))

    def _march(
        self,
        folded: Folded,
        origins: Tensor,
        directions: Tensor,
        edges: Tensor,
        stretch: Tensor,
        jitter: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Integrates rays: ``([B, R, colour_width], [B, R], [B, R])``: features, opacity, distance."""
        if jitter:
            edges = jitter_edges(edges)
        # In this order the points are those of HeadNeRF to the last bit, which the high octaves amplify.
        points = origins[:, :, None] + (directions * stretch)[:, :, None] * edges[..., :-1, None]
        batch, count, samples = points.shape[:3]
        density, hidden = self.field(points.reshape(batch, count * samples, 3), folded)
        weights = composite_weights(density.view(batch, count, samples), edges.diff(dim=-1) * stretch)
        hidden = hidden.unflatten(1, (count, samples))
        integral = torch.einsum("brn,brnc->brc", weights.to(hidden.dtype), hidden)
        return integral, weights.sum(-1), (weights * edges[..., :-1] * stretch).sum(-1)


def leaves_out(config: DecoderConfig, device: torch.device) -> bool:
    """Whether rays that miss the head volume, and so see nothing, are left out.

    It saves their products, but a GPU waits longer for the answer which they are than for a frame's, and a
    graph has fixed sizes.
    """
    if torch.compiler.is_exporting():
        return False
    return config.sampling == "volume" and (device.type == "cpu" or torch.is_grad_enabled())


def _spread(values: Tensor, met: Tensor | None) -> Tensor:
    """Puts the values ``[B, r, ...]`` of the rays that met the volume among all ``[B, R, ...]``."""
    if met is None or values.shape[1] == len(met):
        return values
    full = values.new_zeros(values.shape[0], len(met), *values.shape[2:])
    full[:, met] = values
    return full
