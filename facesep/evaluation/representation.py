"""Photo in, codes, render out: how near the render is to its photo (Table 2 of the paper)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from facesep.data.heads import ShardPhotos
from facesep.evaluation.identity import DlibIdentity, rank
from facesep.evaluation.metrics import l1, psnr, ssim
from facesep.evaluation.report import table
from facesep.evaluation.statistics import Row, Scores, Summary, percent, summary_rows
from facesep.images import to_image
from facesep.model import FaceSep

RENDER, COPY, MEAN, OTHER = (
    "render",
    "the photo itself, head on white",
    "mean face",
    "another photo of the same person",
)
"""The methods of the table; all but the first are references."""

COLUMNS: dict[str, Callable[[float], str]] = {
    "L1 head": "{:.4f}".format,
    "L1": "{:.4f}".format,
    "SSIM": "{:.4f}".format,
    "SSIM head": "{:.4f}".format,
    "PSNR": "{:.2f}".format,
    "ST-LPIPS": "{:.4f}".format,
    "identity distance": "{:.3f}".format,
    "below 0.6": percent,
    "nearer than 95 %": percent,
    "nearest": percent,
}
"""Measures and how their numbers are written."""

NOTE = (
    "Means over people; in brackets 95 % bootstrap intervals. L1, SSIM (Gaussian window 11 x 11, sigma 1.5, "
    "per channel) and PSNR (dB) compare the render with the photo's head on white; 'head' weights pixels by "
    "the head mask. Identity: Euclidean distance of {identity} embeddings to the own photo; 'nearer than "
    "95 %' and 'nearest' are shares of people whose own photo is nearer than all photos of 95 % or all of "
    "the other people ({people} people in all). The PSNR of a copy is infinite. Nothing is refined."
)


@torch.no_grad()
def measure(
    sep: FaceSep,
    photos: ShardPhotos,
    mean: Tensor,
    identity: DlibIdentity | None = None,
    perceptual: nn.Module | None = None,
    on_photo: Callable[[int], object] | None = None,
    steps: int = 0,
) -> Scores:
    """Encodes and renders every photo and compares.

    Args:
        sep: the model.
        photos: what to measure on.
        mean: ``Tensor[3, S, S]``, the picture that stands for everybody, the lower bound.
        identity: embeds canonical images; None leaves identity out.
        perceptual: ST-LPIPS distance of two batches; None leaves it out.
        on_photo: called with the number of photos done.
        steps: gradient steps on the codes of each photo; 0 for the zero-shot codes.
    """
    people, metas = [], []
    pixels: dict[str, list[dict[str, float]]] = {RENDER: [], COPY: [], MEAN: []}
    embeddings: dict[str, list[np.ndarray]] = {"photo": [], RENDER: [], COPY: []}
    for done, photo in enumerate(photos, start=1):
        people.append(photo.person)
        metas.append(photo.meta)
        target = photo.target
        render = sep.render(sep.encode(photo.aligned, fit=steps), output="tensor").cpu()
        for method, picture in ((RENDER, render), (COPY, target), (MEAN, mean)):
            pixels[method].append(_compare(picture[None], target[None], photo.mask[None], perceptual))
        if identity is not None:
            pictures: Sequence[Image.Image] = (photo.image, to_image(render), to_image(target))
            for kind, picture in zip(embeddings, pictures, strict=True):
                embeddings[kind].append(identity.embed(picture))
        if on_photo:
            on_photo(done)
    values = {
        method: {name: np.array([row[name] for row in rows]) for name in rows[0]}
        for method, rows in pixels.items()
    }
    if identity is not None:
        own = np.stack(embeddings["photo"])
        shown = {
            RENDER: np.stack(embeddings[RENDER]),
            COPY: np.stack(embeddings[COPY]),
            MEAN: np.tile(identity.embed(to_image(mean)), (len(own), 1)),
            OTHER: _other_photos(own, people),
        }
        for method, vectors in shown.items():
            values.setdefault(method, {}).update(_identity(vectors, own, people))
    return Scores(people, metas, values)


def _compare(picture: Tensor, target: Tensor, mask: Tensor, perceptual: nn.Module | None) -> dict[str, float]:
    row = {
        "L1 head": l1(picture, target, mask),
        "L1": l1(picture, target),
        "SSIM": ssim(picture, target),
        "SSIM head": ssim(picture, target, mask),
        "PSNR": psnr(picture, target),
    }
    if perceptual is not None:
        row["ST-LPIPS"] = perceptual(picture, target)
    return {name: float(value) for name, value in row.items()}


def _identity(vectors: np.ndarray, own: np.ndarray, people: list[str]) -> dict[str, np.ndarray]:
    found = rank(vectors, own, people)
    return {
        "identity distance": found.distance,
        "below 0.6": found.same,
        "nearer than 95 %": found.among_nearest,
        "nearest": found.nearest,
    }


def _other_photos(own: np.ndarray, people: list[str]) -> np.ndarray:
    """For each photo the embedding of the person's next one, NaN if there is no other."""
    others = np.full_like(own, np.nan)
    for person in set(people):
        rows = [row for row, name in enumerate(people) if name == person]
        if len(rows) > 1:
            others[rows] = own[rows[1:] + rows[:1]]
    return others


def rows(summary: Summary, label: str = "method", intervals: Sequence[str] = (RENDER,)) -> list[Row]:
    """The table: one row for each method, the named ones with their intervals."""
    return summary_rows(summary, label, COLUMNS, intervals)


def by_set(measured: Scores, seed: int = 0) -> Summary:
    """The render's estimates for each set of photos, with the number of people in its name."""
    found = {}
    for group, part in measured.by_label(RENDER, "set", "all").items():
        count = len(set(part.people))
        found[f"{group} ({count} {'person' if count == 1 else 'people'})"] = part.summary(seed)[RENDER]
    return found


def tables(measured: Scores, seed: int, where: str, note: str, device: str = "cpu") -> list[dict[str, Any]]:
    """The table of all photos, and the render's row by set.

    Args:
        measured: from ``measure``.
        seed: of the bootstrap.
        where: what the photos are, for the titles.
        note: of the first table.
        device: where it was measured.
    """
    summary, groups = measured.summary(seed), by_set(measured, seed)
    about = "The first row of the table before, by the set that the photos are from; ranks are among all."
    return [
        table(f"Representation ({where})", rows(summary), note, summary, device=device),
        table(f"Representation by set ({where})", rows(groups, "set"), about, groups, device=device),
    ]
