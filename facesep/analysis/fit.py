"""Fits the morphable model to landmarks: pose, identity and expression of many photos at once.

Each photo is a small nonlinear least-squares problem with Gaussian priors,

    sum_i |project(R p_i(a, e) + t) - u_i|^2 / sigma_i^2 + |a - a0|^2 + |e|^2 / sigma_e^2 + ...,

solved by Gauss-Newton steps on all unknowns together. Expression weights stay within [0, 1]: each step
eliminates the other unknowns and solves the remaining quadratic problem in a box by coordinate descent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facesep.analysis.morphable import MorphableModel
from facesep.camera import CAMERA_DISTANCE, FOCAL, euler_angles, project, rotation_matrix

SIZE = 256.0
"""Side of the canonical image in whose pixels landmarks are given."""


@dataclass(frozen=True)
class Priors:
    """Standard deviations of the unknowns.

    Attributes:
        identity: of the identity weights, which the model scales to 1.
        expression: of the expression weights about 0.
        depth: of the translation along z in dm; size and distance are hard to tell apart, and the
            canonical crop has already removed most of both.
        shift: of the translation along x and y in dm.
        turn: of the angles in radians; weak.
    """

    identity: float = 1.0
    expression: float = 0.3
    depth: float = 0.15
    shift: float = 1.0
    turn: float = 1.0


@dataclass(frozen=True)
class Fit:
    """Result for B photos.

    Attributes:
        rotation: ``Tensor[B, 3]`` (pitch, yaw, roll) in radians.
        translation: ``Tensor[B, 3]`` dm.
        identity: ``Tensor[B, K]``.
        expression: ``Tensor[B, E]`` within [0, 1].
        residual: ``Tensor[B, 68, 2]`` observed minus projected landmarks, pixels at 256.
    """

    rotation: Tensor
    translation: Tensor
    identity: Tensor
    expression: Tensor
    residual: Tensor


def fit(
    model: MorphableModel,
    observed: Tensor,
    sigma: Tensor,
    *,
    offset: Tensor | None = None,
    movable: Tensor | None = None,
    identity_mean: Tensor | None = None,
    priors: Priors | None = None,
    steps: int = 6,
    chunk: int = 128,
) -> Fit:
    """Fits all photos.

    Args:
        model: in the head frame.
        observed: ``Tensor[B, 68, 2]`` landmarks, pixels of the 256 px canonical image.
        sigma: ``Tensor[68]`` pixels.
        offset: ``Tensor[68, 3]`` dm, added to the model's landmarks, see ``calibrate``.
        movable: ``bool Tensor[E]`` or ``bool Tensor[B, E]``; expressions that may differ from 0.
        identity_mean: ``Tensor[B, K]`` centre of the identity prior; 0 if not given.
        priors: standard deviations of the unknowns.
        steps: Gauss-Newton steps.
        chunk: photos solved together; bounds the memory.
    """
    priors = priors or Priors()
    count = len(observed)
    movable = torch.ones(len(model.expression), dtype=torch.bool) if movable is None else movable
    movable = movable.expand(count, -1)
    if identity_mean is None:
        identity_mean = torch.zeros(count, len(model.identity))
    neutral, shapes, moves = model.subset(model.landmarks)
    if offset is not None:
        neutral = neutral + offset
    basis = torch.cat((shapes, moves)).permute(1, 2, 0)  # [68, 3, K + E]
    parts = [
        _solve(neutral, basis, observed[s], sigma, movable[s], identity_mean[s], priors, steps)
        for s in (slice(i, i + chunk) for i in range(0, count, chunk))
    ]
    return Fit(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _solve(
    neutral: Tensor,
    basis: Tensor,
    observed: Tensor,
    sigma: Tensor,
    movable: Tensor,
    identity_mean: Tensor,
    priors: Priors,
    steps: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    count, ids = len(observed), identity_mean.shape[1]
    turns, shift = torch.zeros(count, 3), torch.zeros(count, 3)
    weights = torch.cat((identity_mean, torch.zeros(count, basis.shape[-1] - ids)), 1)
    centre = weights.clone()
    precision = torch.cat(
        (
            torch.full((3,), priors.turn**-2),
            torch.tensor([priors.shift, priors.shift, priors.depth]) ** -2,
            torch.full((ids,), priors.identity**-2),
            torch.full((basis.shape[-1] - ids,), priors.expression**-2),
        )
    )
    for step in range(steps):
        rotation = rotation_matrix(turns)
        points = neutral + (basis @ weights[:, None, :, None])[..., 0]
        turned = points @ rotation.transpose(1, 2)
        world = turned + shift[:, None]
        depth = CAMERA_DISTANCE - world[..., 2]
        predicted = project(points, turns, shift, SIZE)
        residual = (observed - predicted[..., :2]) / sigma[:, None]

        scale = SIZE * FOCAL / depth / sigma  # [B, 68]
        ratio = world[..., :2] / depth[..., None]
        zero = torch.zeros_like(scale)
        camera = torch.stack(
            (
                torch.stack((scale, zero, scale * ratio[..., 0]), -1),
                torch.stack((zero, -scale, -scale * ratio[..., 1]), -1),
            ),
            -2,
        )  # [B, 68, 2, 3]: derivative of the pixel with respect to the world point
        x, y, z = turned.unbind(-1)
        none = torch.zeros_like(x)
        spin = torch.stack((none, z, -y, -z, none, x, y, -x, none), -1).unflatten(-1, (3, 3))
        # A small turn w in the world moves the point by w x turned = spin @ w.
        jacobian = torch.cat((camera @ spin, camera, camera @ (rotation[:, None] @ basis)), -1).flatten(1, 2)
        normal = jacobian.transpose(1, 2) @ jacobian
        current = torch.cat((turns, shift, weights - centre), 1)
        gradient = (jacobian.transpose(1, 2) @ residual.flatten(1)[..., None])[..., 0] - precision * current
        normal = normal + torch.diag(precision)
        if step == 0:  # the first step finds the pose; shapes follow once it is roughly right
            move = torch.zeros_like(gradient)
            move[:, :6] = torch.linalg.solve(normal[:, :6, :6], gradient[:, :6])
        else:
            now = weights[:, ids:]
            move = _box_step(normal, gradient, 6 + ids, -now, movable.to(now.dtype) - now)
        turns = euler_angles(rotation_matrix(move[:, :3].clamp(-0.5, 0.5)) @ rotation)
        shift = shift + move[:, 3:6]
        weights = weights + move[:, 6:]
    points = neutral + (basis @ weights[:, None, :, None])[..., 0]
    residual = observed - project(points, turns, shift, SIZE)[..., :2]
    return turns, shift, weights[:, :ids], weights[:, ids:], residual


def _box_step(
    normal: Tensor, gradient: Tensor, split: int, low: Tensor, high: Tensor, sweeps: int = 25
) -> Tensor:
    """Minimises ``d' N d / 2 - g' d`` with the unknowns from ``split`` on within bounds.

    Args:
        normal: ``Tensor[B, P, P]``, positive definite.
        gradient: ``Tensor[B, P]``.
        split: index of the first bounded unknown.
        low: ``Tensor[B, P - split]``.
        high: the same.
        sweeps: of coordinate descent over the bounded unknowns.
    """
    cross, free = normal[:, :split, split:], gradient[:, :split]
    factor = torch.linalg.cholesky(normal[:, :split, :split])
    solved = torch.cholesky_solve(torch.cat((cross, free[..., None]), -1), factor)
    reduced = normal[:, split:, split:] - cross.transpose(1, 2) @ solved[..., :-1]
    slope = gradient[:, split:] - (cross.transpose(1, 2) @ solved[..., -1:])[..., 0]
    curve = reduced.diagonal(dim1=1, dim2=2)
    bounded = torch.zeros_like(slope)
    for _ in range(sweeps):
        for k in range(bounded.shape[1]):
            pull = slope[:, k] - (reduced[:, k] * bounded).sum(1)
            bounded[:, k] = (bounded[:, k] + pull / curve[:, k]).clamp(low[:, k], high[:, k])
    rest = solved[..., -1] - (solved[..., :-1] @ bounded[..., None])[..., 0]
    return torch.cat((rest, bounded), 1)


def calibrate(
    model: MorphableModel, observed: Tensor, sigma: Tensor, movable: Tensor, rounds: int = 4
) -> Tensor:
    """Finds how far the detector's landmarks lie from the model's on average.

    The identity prior has mean 0, so over many people whatever remains on average is a difference in
    where the two meshes put a landmark. It is measured in the head's own x and y.

    Args:
        model: in the head frame.
        observed: ``Tensor[B, 68, 2]`` landmarks, best of neutral faces with their mirror images.
        sigma: ``Tensor[68]`` pixels.
        movable: ``bool Tensor[E]`` expressions allowed here; none for neutral faces.
        rounds: how often to fit and measure.

    Returns:
        ``Tensor[68, 3]`` dm.
    """
    offset = torch.zeros(68, 3)
    for _ in range(rounds):
        found = fit(model, observed, sigma, offset=offset, movable=movable, steps=4)
        flip = torch.tensor([1.0, -1.0])
        ahead = torch.cat((found.residual * flip, torch.zeros(len(observed), 68, 1)), -1)
        back = ahead @ rotation_matrix(found.rotation)  # rows: R^T r
        offset = offset + back.mean(0) * torch.tensor([1.0, 1.0, 0.0]) * (CAMERA_DISTANCE / FOCAL / SIZE)
    return offset
