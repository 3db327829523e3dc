"""Per-image fitting of our own decoder: codes and camera by gradient descent, as HeadNeRF is used."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from facesep.codes import Codes
from facesep.data.heads import Photo, PhotoSet
from facesep.errors import ConfigError
from facesep.evaluation.runner import read_results
from facesep.fitting import descend, on_sphere
from facesep.model import FaceSep

STARTS = ("mean", "encoder")
"""Where codes begin: the mean of the codes of some photos, or the photo's own; the pose is its own."""
CAMERA_RATE = 0.2
"""Learning rate of rotation and translation against that of the other codes."""
RESULTS = "fit"
"""Name of the results beside the renders."""
MEAN_OF = 32
"""Photos whose codes make the mean."""


@dataclass(frozen=True)
class Recipe:
    """How one photo is fitted.

    Attributes:
        steps: of Adam.
        rate: learning rate of the codes.
        prior: weight of the mean squared distance of the codes from where they began.
        start: see ``STARTS``.
    """

    steps: int = 100
    rate: float = 0.03
    prior: float = 1e-3
    start: str = "mean"


@dataclass(frozen=True, eq=False)
class Fitted:
    """Result for one photo.

    Attributes:
        codes: of one face.
        image: ``Tensor[3, S, S]`` in 0..1.
        losses: mean absolute difference before each step and at the end.
        seconds: that it took, all steps.
    """

    codes: Codes
    image: Tensor
    losses: list[float]
    seconds: float


def mean_codes(sep: FaceSep, photos: PhotoSet) -> Codes:
    """The mean of the codes of the first photos; the shape code keeps its length."""
    first = itertools.islice(photos, MEAN_OF)
    batch = Codes.stack([sep.encode(photo.aligned) for photo in first])
    mean = Codes(**{name: code.mean(0) for name, code in batch.items()})
    return mean.replace(shape=on_sphere(mean.shape))


def fit(
    sep: FaceSep,
    photo: Photo,
    recipe: Recipe,
    mean: Codes | None = None,
    on_step: Callable[[int], object] | None = None,
) -> Fitted:
    """Moves codes and camera until the render is like the photo; the decoder stays as it is.

    The loss is the mean absolute difference over the whole square plus the prior.

    Args:
        sep: the model.
        photo: the encoder reads its crop, and its head on white is the aim.
        recipe: how.
        mean: codes to start from, with ``start="mean"``.
        on_step: called with the number of steps done.

    Raises:
        ConfigError: for a recipe that cannot be carried out.
    """
    if recipe.steps < 1 or recipe.rate <= 0 or recipe.start not in STARTS:
        raise ConfigError(f"a fit needs at least one step, a positive rate and a start from {STARTS}")
    if recipe.start == "mean" and mean is None:
        raise ConfigError("a fit that starts from mean codes needs them")
    begin = time.perf_counter()
    start = sep.encode(photo.aligned)
    if recipe.start == "mean":
        start = mean.replace(rotation=start.rotation, translation=start.translation)
    start = start.batch().to(sep.device)
    goal = photo.target[None].to(sep.device)
    losses = []

    def loss(moved: Codes) -> Tensor:
        difference = (sep.decoder(moved).image.float() - goal).abs().mean()
        losses.append(difference.item())
        held = sum((getattr(moved, name) - code).square().mean() for name, code in start.items())
        return difference + recipe.prior * held

    codes = descend(start, loss, recipe.steps, recipe.rate, CAMERA_RATE, on_step=on_step)[0]
    picture = sep.render(codes, output="tensor").float().cpu()
    losses.append(float((picture - photo.target).abs().mean()))
    return Fitted(codes, picture, losses, time.perf_counter() - begin)


def mean_seconds(folder: str | Path) -> float:
    """Mean seconds for a photo, from the folder that ``eval/fit.py`` wrote.

    Raises:
        ConfigError: if it holds no fits.
    """
    seconds = [record["seconds"] for record in read_results(folder, RESULTS).values() if record]
    if not seconds:
        raise ConfigError(f"{folder} holds no fits: run eval/fit.py first")
    return sum(seconds) / len(seconds)
