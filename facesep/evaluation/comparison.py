"""Methods side by side on the same photos by the paper's measures (Tables 2, 5 and 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from facesep.data.heads import Photo, PhotoSet
from facesep.errors import ConfigError, DataError
from facesep.evaluation.estimators import Estimator, cosine, factors
from facesep.evaluation.metrics import l1, ssim
from facesep.evaluation.perceptual import Perceptual
from facesep.evaluation.renders import Renders
from facesep.evaluation.runner import Processes, ResultLog, measure_units
from facesep.evaluation.statistics import Scores
from facesep.images import to_tensor
from facesep.model import FaceSep

COPY, MEAN = "copy of the photo", "mean face"
DISTANCES = {"AED": "expression", "ATD": "texture", "AID": "illumination", "APD": "pose"}
"""Columns of the paper and the attribute that each compares."""
COLUMNS = ("LPIPS", "ST-LPIPS", "L1", "SSIM", "IC", "IC dlib", *DISTANCES)


class Identity(Protocol):
    """A face-recognition network."""

    name: str
    column: str

    def embed_all(self, images: Tensor, points: Tensor) -> np.ndarray:
        """``[B, D]`` of ``Tensor[B, 3, S, S]``, with five points for each."""


@dataclass(frozen=True)
class Measures:
    """What is measured, with every choice that the paper leaves open.

    Attributes:
        perceptual: perceptual distances.
        identities: recognition networks; training may have used none of them.
        estimator: reads attributes; None leaves AED, ATD, AID and APD out.
        region: ``whole`` square or ``head`` for L1 and SSIM.
        window: of SSIM, ``gaussian`` or ``flat``.
        pose: what APD compares, see ``facesep.evaluation.estimators.POSES``.
        background: what the estimator sees behind a photo's head: ``white`` as in a render, or ``photo``.
    """

    perceptual: Sequence[Perceptual] = ()
    identities: Sequence[Identity] = ()
    estimator: Estimator | None = None
    region: str = "whole"
    window: str = "gaussian"
    pose: str = "rotation"
    background: str = "white"

    def settings(self) -> dict[str, Any]:
        """JSON data that tells these choices from others."""
        return {
            "perceptual": [one.about for one in self.perceptual],
            "identities": [one.name for one in self.identities],
            "estimator": self.estimator and self.estimator.name,
            "region": self.region,
            "window": self.window,
            "pose": self.pose,
            "background": self.background,
        }


@dataclass(frozen=True)
class Methods:
    """What is compared.

    Attributes:
        models: checkpoints by their names in the table.
        mean: ``Tensor[3, S, S]``, the picture that stands for everybody; None leaves the row out.
        renders: pictures of other methods.
    """

    models: Mapping[str, FaceSep]
    mean: Tensor | None = None
    renders: Sequence[Renders] = ()


@torch.no_grad()
def compare(
    methods: Methods,
    photos: PhotoSet,
    measures: Measures,
    log: ResultLog,
    processes: Processes,
    batch: int = 16,
    on_photo: Callable[[int, int], object] | None = None,
) -> Scores | None:
    """Measures every method on every photo, batch by batch; a stopped run goes on where it was.

    Args:
        methods: what to compare.
        photos: what to measure on.
        measures: how.
        log: keeps what is done.
        processes: batches are dealt out to them.
        batch: photos at a time; results do not depend on it beyond rounding.
        on_photo: called with the numbers of photos done and to do by this process.

    Returns:
        None in processes that do not report.

    Raises:
        ConfigError: if the checkpoints render different sizes.
        DataError: if no photo can be used.
    """
    for name, model in methods.models.items():
        if model.image_size != photos.size:
            raise ConfigError(f"{name} renders {model.image_size} px and not {photos.size}: compare one size")

    def measure(places: Sequence[int]) -> list[Any]:
        chosen = {place: photo for place in places if (photo := photos.read(place)) is not None}
        records = _measure(methods, list(chosen.values()), measures) if chosen else []
        found = dict(zip(chosen, records, strict=True))
        return [found.get(place) for place in places]

    keys = [str(place) for place in range(len(photos))]
    records = measure_units(keys, measure, log, processes, batch, on_photo)
    return None if records is None else _collect([records[key] for key in keys])


def _collect(records: Sequence[dict[str, Any] | None]) -> Scores:
    used = [record for record in records if record is not None]
    if not used:
        raise DataError("none of the photos can be used: detection refused them all")
    methods = {name: list(columns) for record in used for name, columns in record["values"].items()}
    values = {
        method: {
            column: np.array(
                [_number(record["values"].get(method, {}).get(column)) for record in used], np.float64
            )
            for column in columns
        }
        for method, columns in methods.items()
    }
    people, metas, names = ([record[key] for record in used] for key in ("person", "meta", "name"))
    return Scores(people, metas, values, len(records) - len(used), names)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _measure(methods: Methods, photos: list[Photo], measures: Measures) -> list[dict[str, Any]]:
    """One record for each photo of a batch."""
    crops = torch.stack([to_tensor(photo.image) for photo in photos])
    mask = torch.stack([photo.mask for photo in photos])
    target = crops * mask + (1 - mask)
    points = torch.stack([torch.from_numpy(photo.points).float() for photo in photos])
    pictures = {name: reconstruct(model, photos) for name, model in methods.models.items()}
    pictures[COPY] = target
    if methods.mean is not None:
        pictures[MEAN] = methods.mean.expand_as(target)
    rows: dict[str, list[int]] = {name: list(range(len(photos))) for name in pictures}
    for method in methods.renders:
        read = [method.read(photo.name) for photo in photos]
        rows[method.name] = [row for row, one in enumerate(read) if one is not None]
        pictures[method.name] = torch.stack([one if one is not None else target[0] for one in read])
    own = {one.column: one.embed_all(crops, points) for one in measures.identities}
    seen = _estimates(measures, crops if measures.background == "photo" else target, pictures)
    weight = mask if measures.region == "head" else None
    found: list[dict[str, dict[str, float | None]]] = [{} for _ in photos]
    for name, picture in pictures.items():
        columns = {one.column: one.distance(picture, target).numpy() for one in measures.perceptual}
        columns["L1"] = l1(picture, target, weight).numpy()
        columns["SSIM"] = ssim(picture, target, weight, measures.window).numpy()
        for one in measures.identities:
            columns[one.column] = cosine(one.embed_all(picture, points), own[one.column])
        for column, factor in DISTANCES.items() if seen else ():
            alike = cosine(seen[name][factor], seen[""][factor])
            columns[column] = (1 - alike).clip(0)  # rounding may leave -1e-16
        for row in rows[name]:
            numbers = {column: float(values[row]) for column, values in columns.items()}
            found[row][name] = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
    return [
        {"name": photo.name, "person": photo.person, "meta": _plain(photo.meta), "values": values}
        for photo, values in zip(photos, found, strict=True)
    ]


def _estimates(
    measures: Measures, target: Tensor, pictures: Mapping[str, Tensor]
) -> dict[str, dict[str, np.ndarray]]:
    """Factors of the photos under the empty name, and of each method's pictures, read in one go."""
    if measures.estimator is None:
        return {}
    stacked = torch.cat((target, *pictures.values()))
    read = factors(measures.estimator.estimate(stacked), measures.pose)
    cut = {name: np.split(values, len(pictures) + 1) for name, values in read.items()}
    names = ["", *pictures]
    return {name: {key: parts[row] for key, parts in cut.items()} for row, name in enumerate(names)}


def reconstruct(model: FaceSep, photos: Sequence[Photo]) -> Tensor:
    """Encodes photos and renders the codes: ``Tensor[B, 3, S, S]`` on the CPU."""
    return model.render(model.encode([photo.aligned for photo in photos]), output="tensor").float().cpu()


def _plain(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Short facts about a photo, without landmarks and windows."""
    return {key: value for key, value in meta.items() if isinstance(value, str | int | float | bool)}
