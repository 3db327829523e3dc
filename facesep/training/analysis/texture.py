"""Skin colours at mesh vertices, split into light and albedo, and the albedo's principal components."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.camera import project, rotation_matrix
from facesep.training.analysis.components import Components
from facesep.training.analysis.depth import vertex_normals
from facesep.training.analysis.lighting import AMBIENT, BANDS, fit_light, shading
from facesep.training.analysis.morphable import FACE, MorphableModel

LIGHT_SHARE = 0.3
"""Part of a photo's overall brightness and tint (in logarithms) that counts as light; the rest is skin.

One photo cannot tell dark skin from dim light. Portraits are exposed for their subject, so most of what
differs between photos is skin.
"""
MIN_FACING = 0.25
"""Cosine between normal and view below which a vertex is too slanted to read a colour from it."""


def sample_vertices(model: MorphableModel, spacing: float = 0.055) -> Tensor:
    """Vertices of the narrow face, about one for each cube of ``spacing`` dm: ``int64 Tensor[N]``."""
    cell = (model.neutral[:FACE] / spacing).floor().long()
    _, group = torch.unique(cell, dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1,), FACE)
    first.scatter_reduce_(0, group, torch.arange(FACE), "amin")
    return first.sort().values


@dataclass(frozen=True)
class Samples:
    """Colours at N vertices of B photos.

    Attributes:
        colour: ``Tensor[B, N, 3]`` sRGB in [0, 1].
        normal: ``Tensor[B, N, 3]`` unit, world frame.
        weight: ``Tensor[B, N]``: cosine to the view for visible skin, else 0.
    """

    colour: Tensor
    normal: Tensor
    weight: Tensor


def sample_colours(
    image: Tensor,
    face: Tensor,
    points: Tensor,
    triangles: Tensor,
    chosen: Tensor,
    rotation: Tensor,
    translation: Tensor,
) -> Samples:
    """Reads the photo at posed vertices.

    Args:
        image: ``Tensor[B, 3, S, S]`` in [0, 1].
        face: ``Tensor[B, 1, S, S]``, 1 where the label is face.
        points: ``Tensor[B, V, 3]`` deformed vertices of the narrow face, head frame.
        triangles: ``int64 Tensor[T, 3]`` of them.
        chosen: ``int64 Tensor[N]`` vertices to read.
        rotation: ``Tensor[B, 3]`` radians.
        translation: ``Tensor[B, 3]`` dm.
    """
    turn = rotation_matrix(rotation).transpose(1, 2)
    normal = vertex_normals(points, triangles)[:, chosen] @ turn
    at = points[:, chosen]
    grid = project(at, rotation, translation, 1.0)[..., :2]
    to_camera = F.normalize(torch.tensor([0.0, 0.0, 10.0]) - (at @ turn + translation[:, None]), dim=-1)
    facing = (normal * to_camera).sum(-1)
    grid = grid[:, :, None] * 2 - 1
    colour = F.grid_sample(image, grid, align_corners=False)[..., 0].transpose(1, 2)
    skin = F.grid_sample(face, grid, mode="nearest", align_corners=False)[:, 0, :, 0]
    visible = (facing > MIN_FACING) & (skin > 0.5)
    return Samples(colour, normal, torch.where(visible, facing, 0.0))


def separate(samples: Samples, train: Tensor, rounds: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Splits colours into light and albedo, alternating between the two.

    It starts from one colour for all skin, so that the mean shading of a face goes to the light.

    Args:
        samples: all photos.
        train: ``bool Tensor[B]``: photos that the mean albedo is taken from.
        rounds: light, then mean albedo, this often.

    Returns:
        ``(gamma, albedo, mean)``: ``Tensor[B, 27]``, ``Tensor[B, N, 3]`` in [0, 1] (the mean, scaled to
        the photo, where nothing is visible) and ``Tensor[N, 3]``.
    """
    weight = samples.weight
    middle = (samples.colour * weight[..., None])[train].sum((0, 1)) / weight[train].sum()
    # Under plain white light the first band alone gives a shading of AMBIENT * sqrt(pi) / 2.
    mean = (middle / (AMBIENT * torch.pi**0.5 / 2)).expand(weight.shape[1], 3)
    for _ in range(rounds):
        gamma = fit_light(samples.colour, samples.normal, mean, weight)
        gamma, gain = _share(gamma, train)
        albedo = samples.colour / shading(samples.normal, gamma).clamp_min(0.1)
        seen = (weight * train[:, None])[..., None]
        total = (albedo / gain[:, None] * seen).sum(0)
        mean = torch.where(seen.sum(0) > 1, total / seen.sum(0).clamp_min(1.0), mean)
    fill = (mean * gain[:, None]).clamp(0, 1)
    albedo = torch.where(weight[..., None] > 0, albedo.clamp(0, 1), fill)
    return gamma, albedo, mean


def _share(gamma: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Moves most of each photo's overall gain from its light to its skin.

    Returns:
        ``(gamma, gain)``: the light, and ``Tensor[B, 3]`` by which its skin differs from the mean.
    """
    light = gamma.unflatten(1, (3, BANDS)).clone()
    light[..., 0] += AMBIENT
    level = light[..., 0].clamp_min(0.05).log()
    relative = level - level[train].mean(0)
    light = light * (torch.log(torch.tensor(AMBIENT)) + LIGHT_SHARE * relative - level).exp()[..., None]
    light[..., 0] -= AMBIENT
    return light.flatten(1), ((1 - LIGHT_SHARE) * relative).exp()


def fill_and_reduce(albedo: Tensor, weight: Tensor, train: Tensor, count: int, rounds: int = 3) -> Components:
    """Principal components of albedo with gaps, which are filled from the components in turn.

    Args:
        albedo: ``Tensor[B, N, 3]``; its gaps (weight 0) are changed in place.
        weight: ``Tensor[B, N]``.
        train: ``bool Tensor[B]``.
        count: number of components.
        rounds: how often to refill.
    """
    flat = albedo.flatten(1)
    gap = (weight == 0).repeat_interleave(3, 1)
    for _ in range(rounds):
        found = Components.of(flat[train], count)
        flat[gap] = found.undo(found.apply(flat).clamp(-3, 3))[gap]
    return Components.of(flat[train], count)
