"""What refinement gains and costs: quality against UNet calls, identity, seconds, and flicker in videos."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from facesep.evaluation.identity import DlibIdentity
from facesep.evaluation.metrics import l1
from facesep.evaluation.photos import Photo
from facesep.images import to_image, to_tensor
from facesep.model import FaceSep

if TYPE_CHECKING:
    from facesep.refine import FaceRefiner

CALLS = (1, 2, 3, 5, 8, 12, 20)
"""UNet calls at which the curve is measured by default; 0 calls is the render itself."""
AXES = {
    "ST-LPIPS": "ST-LPIPS to the photo",
    "L1": "L1 to the photo",
    "identity distance": "identity distance",
}


@torch.no_grad()
def curve(
    sep: FaceSep,
    photos: Iterable[Photo],
    calls: Sequence[int] = CALLS,
    perceptual: nn.Module | None = None,
    identity: DlibIdentity | None = None,
    on_photo: Callable[[int], object] | None = None,
    **options: Any,
) -> list[dict[str, float]]:
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
        One row for the render (0 calls) and one for each number of calls: ``calls``, ``L1``, ``seconds`` for
        a picture, and ``ST-LPIPS`` and ``identity distance`` where they were asked for; means over photos.
    """
    found: dict[int, list[dict[str, float]]] = {count: [] for count in (0, *calls)}
    for done, photo in enumerate(photos, start=1):
        render = sep.render(sep.encode(photo.image, aligned=True), output="tensor").cpu()
        own = identity.embed(photo.image) if identity else None
        for count, rows in found.items():
            start = time.perf_counter()
            picture = sep.refiner.refine(render, steps=count, **options) if count else render
            row = {"seconds": time.perf_counter() - start if count else 0.0}
            row["L1"] = float(l1(picture[None], photo.target[None]))
            if perceptual is not None:
                row["ST-LPIPS"] = float(perceptual(picture[None], photo.target[None]))
            if identity is not None:
                row["identity distance"] = float(np.linalg.norm(identity.embed(to_image(picture)) - own))
            rows.append(row)
        if on_photo:
            on_photo(done)
    return [
        {"calls": count} | {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        for count, rows in found.items()
    ]


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


def plot(rows: Sequence[dict[str, float]], title: str = "") -> Image.Image:
    """Draws the curve: one panel for each measure, calls on the horizontal axis, the render dashed.

    Raises:
        ImportError: without matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in AXES if name in rows[0]]
    figure = Figure(figsize=(4 * len(names), 3.2), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axis, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        axis.plot([row["calls"] for row in rows[1:]], [row[name] for row in rows[1:]], "o-")
        axis.axhline(rows[0][name], linestyle="--", color="grey", label="render")
        axis.set_xlabel("UNet calls")
        axis.set_ylabel(AXES[name])
        axis.grid(alpha=0.3)
        axis.legend()
    if title:
        figure.suptitle(title)
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return Image.open(buffer).convert("RGB")
