"""What refinement gains and costs: quality against UNet calls, identity, seconds, and flicker in videos."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from facesep.data.heads import Photo
from facesep.evaluation.identity import DlibIdentity
from facesep.evaluation.metrics import l1
from facesep.evaluation.sheet import Pictures
from facesep.evaluation.statistics import estimate
from facesep.images import to_image, to_tensor
from facesep.model import FaceSep

if TYPE_CHECKING:
    from facesep.refine import FaceRefiner

CALLS = (1, 2, 3, 5, 8, 12, 20)
"""UNet calls at which the curve is measured by default."""
RENDER, ESTIMATE, REFINED = "render", "estimator alone", "refined"


@torch.no_grad()
def curve(
    sep: FaceSep,
    photos: Iterable[Photo],
    calls: Sequence[int] = CALLS,
    perceptual: nn.Module | None = None,
    identity: DlibIdentity | None = None,
    on_photo: Callable[[int], object] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Renders photos, refines the renders with more and more calls, and compares with the photos.

    Args:
        sep: a model with a refiner.
        photos: what to measure on.
        calls: numbers of UNet calls.
        perceptual: distance of two batches, such as ST-LPIPS; None leaves it out.
        identity: embeds canonical images; None leaves identity out.
        on_photo: called with the number of photos done.
        **options: for the refiner: ``start``, ``eta``, ``seed``.

    Returns:
        A row for the render, one for what the estimator proposes (0 calls, where there is an estimator), and
        one for each number of calls: ``picture``, ``calls``, ``seconds`` for a picture, and means over people
        of ``L1`` and, where they were asked for, ``ST-LPIPS`` and ``identity distance``. All but the first
        have the mean ``change`` of each from the render, and the ends ``low`` and ``high`` of its 95 %
        interval.
    """
    kinds: list[tuple[str, int]] = [(RENDER, 0)]
    kinds += [(ESTIMATE, 0)] if sep.refiner.estimator is not None else []
    kinds += [(REFINED, count) for count in calls]
    found: dict[tuple[str, int], list[dict[str, float]]] = {kind: [] for kind in kinds}
    people = []
    for done, photo in enumerate(photos, start=1):
        people.append(photo.person)
        render = sep.render(sep.encode(photo.aligned), output="tensor").cpu().clamp(0, 1)
        own = identity.embed(photo.image) if identity else None
        for (kind, count), rows in found.items():
            start = time.perf_counter()
            picture = render if kind == RENDER else sep.refiner.refine(render, steps=count, **options)
            row = {"seconds": 0.0 if kind == RENDER else time.perf_counter() - start}
            row["L1"] = float(l1(picture[None], photo.target[None]))
            if perceptual is not None:
                row["ST-LPIPS"] = float(perceptual(picture[None], photo.target[None]))
            if identity is not None:
                row["identity distance"] = float(np.linalg.norm(identity.embed(to_image(picture)) - own))
            rows.append(row)
        if on_photo:
            on_photo(done)
    return [
        {"picture": kind, "calls": count} | _summary(rows, found[RENDER, 0], people)
        for (kind, count), rows in found.items()
    ]


def _summary(rows: Sequence[dict], renders: Sequence[dict], people: Sequence[str]) -> dict[str, float]:
    """Means over people, and how they differ from those of the renders."""
    summary = {name: estimate([row[name] for row in rows], people).value for name in rows[0]}
    for name in summary.keys() - {"seconds"} if rows is not renders else ():
        pairs = zip(rows, renders, strict=True)
        change = estimate([row[name] - render[name] for row, render in pairs], people)
        summary |= {f"{name} change": change.value, f"{name} low": change.low, f"{name} high": change.high}
    return summary


def strips(sep: FaceSep, photos: Sequence[Photo], calls: Sequence[int], **options: Any) -> list[Pictures]:
    """Rows to look at: photo, render, the estimator's proposal, and the render refined with some calls.

    Args:
        sep: a model with a refiner.
        photos: one of each row.
        calls: numbers of UNet calls, one column each.
        **options: for the refiner.
    """
    rows = []
    for photo in photos:
        render = sep.render(sep.encode(photo.aligned))
        pictures = {"photo": to_image(photo.target), RENDER: render}
        if sep.refiner.estimator is not None:
            pictures[ESTIMATE] = sep.refiner.refine(render, steps=0, **options)
        for count in calls:
            pictures[f"{count} call{'s' * (count > 1)}"] = sep.refiner.refine(render, steps=count, **options)
        rows.append(pictures)
    return rows


def flicker(plain: Tensor, changed: Tensor) -> float:
    """How much what was added to a video changes from frame to frame.

    Args:
        plain: frames ``Tensor[N, 3, S, S]`` in [0, 1].
        changed: the same frames after refinement.

    Returns:
        Mean absolute change of their difference between neighbouring frames; 0 if the same is added to all.
    """
    added = changed - plain
    return float((added[1:] - added[:-1]).abs().mean())


def video_flicker(refiner: FaceRefiner, frames: Sequence[Image.Image], **options: Any) -> dict[str, float]:
    """Flicker of a video whose frames share their noise, and of one with other noise in every frame.

    Args:
        refiner: the refiner.
        frames: renders, such as of an orbit.
        **options: ``steps``, ``start``, ``eta``.

    Returns:
        ``{"shared": .., "fresh": .., "video": ..}``; the last is how much the renders themselves change.
    """
    plain = torch.stack([to_tensor(frame) for frame in frames])
    shared = torch.stack([refiner.refine(frame, seed=0, **options) for frame in plain])
    fresh = torch.stack([refiner.refine(frame, seed=k, **options) for k, frame in enumerate(plain)])
    moved = float((plain[1:] - plain[:-1]).abs().mean())
    return {"shared": flicker(plain, shared), "fresh": flicker(plain, fresh), "video": moved}
