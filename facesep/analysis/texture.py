"""Skin colours at mesh vertices, split into light and albedo, and the albedo's principal components."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.analysis.components import Components
from facesep.analysis.depth import vertex_normals
from facesep.analysis.lighting import AMBIENT, BANDS, fit_light, sh_basis, shading
from facesep.analysis.morphable import FACE, MorphableModel
from facesep.camera import project, rotation_matrix

LIGHT_SHARE = 0.4
"""Part of a photo's overall brightness and tint (in logarithms) that counts as light; the rest is skin.

One photo cannot tell dark skin from dim light. Where the same people were photographed twice in the wild,
about half of what differs between photos differs within a person; in a studio next to nothing does. A
little less than half keeps the tone of skin with the skin when light is exchanged.
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


@dataclass(frozen=True)
class Separation:
    """Colours split into light and albedo.

    Attributes:
        gamma: ``Tensor[2N, 27]`` light of photos, then of their mirror images.
        albedo: ``Tensor[N, V, 3]`` at least 0, of one half and the other alike.
        seen: ``Tensor[N, V]`` weight with which a vertex was seen on either side; 0 means a guess.
        level: ``Tensor[N, 3]`` logarithm of each photo's brightness against the mean.
    """

    gamma: Tensor
    albedo: Tensor
    seen: Tensor
    level: Tensor


def separate(samples: Samples, train: Tensor, rounds: int = 3, patterns: int = 8) -> Separation:
    """Splits colours into light and albedo, alternating between the two.

    Skin is taken to be the same on both sides of a face, so what differs between them is light. The
    light is fitted against a few principal patterns of albedo (lips, brows, beards). They start from one
    colour for all skin, so that the mean shading of a face goes to the light.

    Args:
        samples: N photos, then their mirror images in the same order.
        train: ``bool Tensor[N]``: photos that the patterns come from.
        rounds: light, then albedo, this often.
        patterns: number of components of the albedo that the light is fitted against.
    """
    colour, normal, weight = samples.colour, samples.normal, samples.weight
    half = len(colour) // 2
    skin = (colour * weight[..., None])[:half][train].sum((0, 1)) / weight[:half][train].sum()
    pattern = skin.expand(weight.shape[1], 3)
    mean_basis = (sh_basis(normal) * weight[..., None])[:half][train].sum((0, 1)) / weight[:half][train].sum()
    seen = weight[:half] + weight[half:]
    for _ in range(rounds):
        gamma = fit_light(colour, normal, pattern, weight)
        level = light_level(gamma, mean_basis)
        albedo = _both_sides(colour / shading(normal, gamma).clamp_min(0.1), weight)
        usual = (albedo * seen[..., None])[train].sum(0) / seen[train].sum(0).clamp_min(1e-6)[:, None]
        usual = torch.where(seen[train].sum(0)[:, None] > 0, usual, skin)
        albedo = torch.where(seen[..., None] > 0, albedo.clamp(0, 1.5), usual)
        found = fill_and_reduce(albedo, seen, train, patterns)
        smooth = found.undo(found.apply(albedo.flatten(1)).clamp(-3, 3)).unflatten(1, (-1, 3)).clamp_min(0.02)
        # The level of a photo belongs to its light here; patterns must not take it away.
        smooth = smooth * usual.mean(0) / smooth.mean(1, keepdim=True)
        pattern = smooth.repeat(2, 1, 1)
    relative = level - level[:half][train].mean(0)
    relative = (relative[:half] + relative[half:]) / 2
    gain = (-level[:half][train].mean(0) - (1 - LIGHT_SHARE) * relative).exp()
    light = scaled_light(gamma, gain.repeat(2, 1))
    return Separation(light, albedo / gain[:, None], seen, relative)


def light_level(gamma: Tensor, mean_basis: Tensor) -> Tensor:
    """Logarithm of the mean shading ``Tensor[B, 3]`` on a face.

    Args:
        gamma: ``Tensor[B, 27]``.
        mean_basis: mean of the spherical harmonics on the face, ``Tensor[9]``, or ``[B, 9, 1]`` for each
            picture's own.
    """
    light = gamma.unflatten(1, (3, BANDS)).clone()
    light[..., 0] += AMBIENT
    return (light @ mean_basis).clamp_min(0.02).log().flatten(1)


def scaled_light(gamma: Tensor, gain: Tensor) -> Tensor:
    """Light ``Tensor[B, 27]`` whose shading is ``gain`` ``Tensor[B, 3]`` times that of ``gamma``."""
    light = gamma.unflatten(1, (3, BANDS)).clone()
    light[..., 0] += AMBIENT
    light = light * gain[..., None]
    light[..., 0] -= AMBIENT
    return light.flatten(1)


def _both_sides(albedo: Tensor, weight: Tensor) -> Tensor:
    """Joins photos and mirror images ``Tensor[2N, V, 3]``: vertex v of the one is its twin in the other."""
    weight = weight[..., None]
    half = len(albedo) // 2
    total = (albedo[:half] * weight[:half]) + (albedo[half:] * weight[half:])
    return total / (weight[:half] + weight[half:]).clamp_min(1e-6)


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
