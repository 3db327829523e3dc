"""Gradient steps on codes, for what a single forward pass has missed of a face."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from facesep.attributes import CODE_SIZES, of_branch
from facesep.checks import whole
from facesep.codes import Codes
from facesep.nets.decoder import Decoder

CAMERA = of_branch("camera")
RATE, CAMERA_RATE = 0.06, 0.07
"""Learning rate of the codes, and that of rotation and translation as a share of it."""
PRIOR = 0.05
"""Weight lambda of the distance from the encoder's codes."""
HEAD, MARGIN = 0.7, 0.008
"""Opacity from which a pixel shows the head; part of the image's side that is left out at the outline."""
MOST_STEPS = 1000


def fit(decoder: Decoder, codes: Codes, photos: Tensor, steps: int, skin: Tensor | None = None) -> Codes:
    """Moves codes until their renders are more like the photos; the decoder stays as it is.

    Minimises, for each face on its own, by Adam with a learning rate that falls along a cosine,

        |D(z) - I|_w + |grad D(z) - grad I|_w + lambda * sum_a |z_a - E(I)_a|^2 / n_a

    Means over the pixels ``w`` where the render shows the head and not only its outline, since the photo
    has a background and what is head in it is not known; differences of neighbouring pixels as gradient.

    Args:
        decoder: the decoder D.
        codes: a batch of codes E(I).
        photos: canonical images I, ``Tensor[B, 3, S, S]`` in 0..1 at the size of the decoder's.
        steps: how many; each costs one render and its gradient.
        skin: ``encoder.skin``, A; steps are then those of ``l + A t``, what the head of the light says, since
            those of Adam depend on the basis.

    Returns:
        The moved codes, without gradients; the shape code keeps its length.

    Raises:
        ConfigError: for a number of steps that is not from 0 to 1000.
    """
    check_steps(steps)
    if steps == 0:
        return codes
    # One at a time: the gradient of a large render takes gigabytes.
    faces = [_fit_one(decoder, codes[k : k + 1], photos[k : k + 1], steps, skin) for k in range(len(codes))]
    return Codes.from_vector(torch.cat([face.vector() for face in faces]))


def check_steps(steps: int) -> None:
    """Makes sure that so many steps can be taken.

    Raises:
        ConfigError: for a number that is not from 0 to 1000.
    """
    whole(steps, "fit", 0, MOST_STEPS)


def _fit_one(decoder: Decoder, codes: Codes, photos: Tensor, steps: int, skin: Tensor | None) -> Codes:
    with torch.inference_mode(False):  # a caller's inference mode forbids gradients
        start, goal = Codes.from_vector(codes.vector().clone()), photos.clone().float()
        weight = None if skin is None else skin.clone().to(start.texture)
        start = _lit(start, weight, 1)

        def loss(moved: Codes) -> Tensor:
            rendering = decoder(_lit(moved, weight, -1))
            held = sum(
                (getattr(moved, name) - code).square().mean()
                for name, code in start.items()
                if name not in CAMERA
            )
            return _difference(rendering.image.float(), goal, rendering.opacity.float()) + PRIOR * held

        return _lit(descend(start, loss, steps, RATE, CAMERA_RATE, falling=True), weight, -1)


def _lit(codes: Codes, weight: Tensor | None, sign: int) -> Codes:
    """Codes whose light is ``l + s A t``."""
    if weight is None:
        return codes
    return codes.replace(illumination=codes.illumination + sign * F.linear(codes.texture, weight))


def _difference(image: Tensor, goal: Tensor, opacity: Tensor) -> Tensor:
    """Mean differences of colours and of their gradients inside the head."""
    side = image.shape[-1]
    margin = max(round(MARGIN * side), 1)
    head = F.interpolate(opacity.detach(), size=(side, side), mode="bilinear", align_corners=False)
    inside = (-F.max_pool2d(-head, 2 * margin + 1, 1, margin) > HEAD).float()
    total = (image - goal).abs().mean(1, keepdim=True) * inside
    for axis in (2, 3):
        edges = (image.diff(dim=axis) - goal.diff(dim=axis)).abs().mean(1, keepdim=True)
        edges = edges * inside.narrow(axis, 1, side - 1)
        total = total + F.pad(edges, (0, 1, 0, 0) if axis == 3 else (0, 0, 0, 1))
    return total.sum() / inside.sum().clamp_min(1.0)


def descend(
    start: Codes,
    loss: Callable[[Codes], Tensor],
    steps: int,
    rate: float,
    camera_rate: float,
    falling: bool = False,
    on_step: Callable[[int], object] | None = None,
) -> Codes:
    """Moves a batch of codes down a loss by Adam.

    Args:
        start: where they begin.
        loss: of codes whose shape code has its proper length.
        steps: how many.
        rate: learning rate.
        camera_rate: that of rotation and translation as a share of it.
        falling: the learning rate falls to zero along a cosine.
        on_step: called with the number of steps done.

    Returns:
        The codes that were reached, without gradients.
    """
    free = {name: code.detach().clone().float().requires_grad_(True) for name, code in start.items()}
    rates = {name: rate * (camera_rate if name in CAMERA else 1.0) for name in free}
    optimiser = torch.optim.Adam([{"params": [code], "lr": rates[name]} for name, code in free.items()])
    with torch.enable_grad():
        for step in range(steps):
            if falling:
                for group, full in zip(optimiser.param_groups, rates.values(), strict=True):
                    group["lr"] = full * (1 + math.cos(math.pi * step / steps)) / 2
            optimiser.zero_grad()
            loss(_valid(free)).backward()
            optimiser.step()
            if on_step:
                on_step(step + 1)
    return _valid(free).detach()


def _valid(free: dict[str, Tensor]) -> Codes:
    return Codes(**{**free, "shape": on_sphere(free["shape"])})


def on_sphere(shape: Tensor) -> Tensor:
    """Shape codes of their proper length, sqrt(512)."""
    return F.normalize(shape, dim=-1) * CODE_SIZES["shape"] ** 0.5
