"""Samples along rays and the volume integral."""

from __future__ import annotations

import torch
from torch import Tensor

from facesep.config import DecoderConfig
from facesep.constants import constant


def ellipsoid_interval(
    origins: Tensor,
    directions: Tensor,
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave an axis-aligned ellipsoid.

    Args:
        origins: ``Tensor[B, 1, 3]``.
        directions: ``Tensor[B, R, 3]``.
        centre: centre of the ellipsoid.
        radii: its half axes.

    Returns:
        Two ``Tensor[B, R]`` along the directions; equal (an interval of no length) where a ray misses.
    """
    scale = constant(radii, directions)
    start = (origins - constant(centre, directions)) / scale
    step = directions / scale
    a = (step * step).sum(-1)
    b = (start * step).sum(-1)
    c = (start * start).sum(-1) - 1.0
    discriminant = b * b - a * c
    # The square root has no finite slope at a grazing ray: keep pose gradients bounded there.
    half = torch.where(discriminant > 1e-6, discriminant.clamp_min(1e-6).sqrt(), 0.0)
    return (-b - half) / a, (-b + half) / a


def sample_edges(config: DecoderConfig, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Edges of the sample intervals along each ray.

    Args:
        config: gives the sampling and the number of samples N.
        origins: ``Tensor[B, 1, 3]`` in the head frame.
        directions: unit ``Tensor[B, R, 3]``.

    Returns:
        ``(edges, stretch)``: ``Tensor[B, R, N + 1]``, whose product with ``stretch`` is the distance from
        the camera along the ray in decimetres. HeadNeRF's planes are measured along the z axis, so the
        stretch ``Tensor[B, R, 1]`` differs from 1 there.
    """
    amount = torch.linspace(0, 1, config.samples + 1, dtype=directions.dtype, device=directions.device)
    unit = torch.ones_like(directions[..., :1])
    if config.sampling == "volume":
        near, far = ellipsoid_interval(origins, directions, config.volume_centre, config.volume_radii)
        return near[..., None] * (1 - amount) + far[..., None] * amount, unit
    if config.sampling == "planes":  # fixed world planes, as in HeadNeRF
        height = origins[..., 2:]
        planar = (height - config.near) * (1 - amount) + (height - config.far) * amount
        return planar.expand(*directions.shape[:-1], -1), -1.0 / directions[..., 2:]
    edges = config.near * (1 - amount) + config.far * amount
    return edges.expand(*directions.shape[:-1], -1), unit


def jitter_edges(edges: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Stratified jitter for training: every edge moves uniformly between the mid-points beside it.

    Args:
        edges: ``Tensor[..., N + 1]``, ascending.
        generator: source of randomness.
    """
    middle = (edges[..., 1:] + edges[..., :-1]) / 2
    lower = torch.cat((edges[..., :1], middle), -1)
    upper = torch.cat((middle, edges[..., -1:]), -1)
    noise = torch.rand(edges.shape, generator=generator, dtype=edges.dtype, device=edges.device)
    return lower + (upper - lower) * noise


def composite_weights(density: Tensor, lengths: Tensor) -> Tensor:
    """Weights of the volume integral: ``w_i = (1 - exp(-s_i d_i)) exp(-sum_{j<i} s_j d_j)``.

    Args:
        density: ``Tensor[..., N]``, not negative.
        lengths: ``Tensor[..., N]``, lengths of the intervals.

    Returns:
        ``Tensor[..., N]``; their sum is the opacity of the ray.
    """
    thickness = density * lengths.clamp_min(0)  # rounding can make an empty interval negative
    before = torch.cumsum(thickness, -1) - thickness
    return -torch.expm1(-thickness) * torch.exp(-before)
