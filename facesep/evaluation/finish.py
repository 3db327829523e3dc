"""What the Finish network gives beside photo detail alone, on photos that went there and back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from facesep.detail.flow import resize
from facesep.detail.round_trip import KINDS, round_trip, steps
from facesep.errors import ConfigError
from facesep.evaluation.detail import SIZE, Sitter
from facesep.evaluation.statistics import Estimate, Row, estimate
from facesep.model import NO_FINISH, FaceSep
from facesep.nets.finish import Draft, share

FRAMES, ORBIT = 24, 256
"""Frames of the orbit in which flicker is measured, and their side in pixels."""
PERCEPTUAL = 256
"""Side in pixels at which ST-LPIPS looks at the heads: VGG takes seconds for 512."""
LEAST = 0.02
"""Share of the head that must be missing for a photo to count."""
FORMS = ("alone", "finished")
Progress = Callable[[int, int], object]


def compare(
    draft: Draft,
    finished: Tensor,
    colours: Tensor,
    matte: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> dict[str, dict[str, float]]:
    """Draft and result in the part that the photo did not show on its way, by measure and form.

    Args:
        draft: one head.
        finished: ``Tensor[1, 3, S, S]``.
        colours: ``Tensor[1, 3, S, S]``, what the photo shows.
        matte: ``Tensor[1, 1, S, S]``.
        distance: ST-LPIPS of the heads on white, outside of the part the photo's; None leaves it out.

    Returns:
        ``L1`` and ``energy`` (gradients as a share of the photo's), and ``ST-LPIPS``. Empty where less than
        ``LEAST`` of the head was hidden.
    """
    part = share(draft.confidence) * draft.alpha * matte
    if part.sum() < LEAST * matte.sum():
        return {}
    truth = (steps(colours) * part).sum()
    found: dict[str, dict[str, float]] = {"L1": {}, "energy": {}}
    for form, image in zip(FORMS, (draft.colours, finished), strict=True):
        found["L1"][form] = float(((image - colours).abs() * part).sum() / (3 * part.sum()))
        found["energy"][form] = float((steps(image) * part).sum() / truth.clamp_min(1e-6))
        if distance is not None:
            shown = (torch.lerp(colours, each, part) * matte + 1 - matte for each in (image, colours))
            values = distance(*(resize(each, min(PERCEPTUAL, each.shape[-1])) for each in shown))
            found.setdefault("ST-LPIPS", {})[form] = float(values)
    return found


@torch.no_grad()
def measure(
    sep: FaceSep,
    sitters: Sequence[Sitter],
    distance: Callable[[Tensor, Tensor], Tensor] | None = None,
    seed: int = 0,
    on_photo: Progress | None = None,
) -> dict[str, dict[str, dict[str, Estimate | None]]]:
    """Photos there and back, by what changed on the way.

    Expression and hair of the way there are those of the next person of the list.

    Returns:
        ``{kind: {measure: {"alone": ..., "finished": ...}}}``, under ``all`` the seconds of the network.

    Raises:
        ConfigError: for a checkpoint without the network.
    """
    network = _network(sep)
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    seconds = []
    kinds = [kind for kind in KINDS if " " not in kind]
    for k, one in enumerate(sitters):
        donor = sitters[(k + 1) % len(sitters)].portrait
        for kind in kinds:
            draft, colours, matte = round_trip(
                sep, one.portrait, donor, kind, random.Random(f"{seed} {one.name}"), SIZE
            )
            began = time.perf_counter()
            finished = network(draft)
            seconds.append(time.perf_counter() - began)
            values = compare(draft, finished, colours, matte, distance)
            names = ("L1", "energy", "ST-LPIPS") if distance is not None else ("L1", "energy")
            for name in names:
                for form in FORMS:
                    column = found.setdefault(kind, {}).setdefault(name, {}).setdefault(form, [])
                    column.append(values[name][form] if values else np.nan)
        if on_photo:
            on_photo(k + 1, len(sitters))
    people = [one.person for one in sitters]
    result = {
        kind: {
            name: {form: estimate(np.array(column), people, seed=seed) for form, column in forms.items()}
            for name, forms in measures.items()
        }
        for kind, measures in found.items()
    }
    median = float(np.median(seconds))
    result["all"] = {"seconds, median": {"finished": Estimate(median, *np.quantile(seconds, (0.25, 0.75)))}}
    return result


@torch.no_grad()
def flicker(sep: FaceSep, sitters: Sequence[Sitter], seed: int = 0) -> dict[str, Estimate | None]:
    """Mean absolute second difference of the frames of a slow turn, in levels of 255, by form.

    What moves evenly changes little twice; what jumps does.
    """
    _network(sep)
    found: dict[str, list[float]] = {form: [] for form in FORMS}
    for one in sitters:
        yaws = np.linspace(-30, 30, FRAMES).tolist()
        for form in FORMS:
            frames = torch.stack(
                [
                    sep.render(one.portrait, yaw=yaw, size=ORBIT, finish=form == "finished", output="tensor")
                    for yaw in yaws
                ]
            )
            twice = frames[2:] - 2 * frames[1:-1] + frames[:-2]
            found[form].append(255 * float(twice.abs().mean()))
    people = [one.person for one in sitters]
    return {form: estimate(np.array(values), people, seed=seed) for form, values in found.items()}


@torch.no_grad()
def sheet(sep: FaceSep, sitters: Sequence[Sitter], side: int = 256) -> Tensor:
    """Rows of the photo, and turned to -35, 20 and 50 degrees, alone and finished: ``Tensor[3, H, W]``."""
    rows = []
    for one in sitters:
        row = [resize(one.crop[None], side)[0]]
        for yaw in (-35.0, 20.0, 50.0):
            for finish in (False, True):
                row.append(sep.render(one.portrait, yaw=yaw, size=side, finish=finish, output="tensor"))
        rows.append(torch.cat(row, 2))
    return torch.cat(rows, 1)


def _network(sep: FaceSep) -> Callable[[Draft], Tensor]:
    if sep.finish is None:
        raise ConfigError(NO_FINISH)
    return sep.finish


NOTE = (
    "{photos} photos of {people} people ({split}), at {size} px: changed as named, taken for a photo, and "
    "changed back. Measured in the part that was hidden on the way, with the photo's own pixels elsewhere: "
    "'L1' mean absolute difference of values in 0..1, 'energy' gradients over those of the photo, 'ST-LPIPS' "
    "at 256 px. 'flicker': second differences of 24 frames from -30 to 30 degrees, of 255, at 256 px, for up "
    "to eight people. In brackets 95 % bootstrap intervals over people (of seconds: quartiles)."
)


def rows(found: Mapping[str, Mapping[str, Mapping[str, Estimate | None]]]) -> list[Row]:
    """The table of ``measure``."""
    lines: list[Row] = []
    for kind, measures in found.items():
        for name, forms in measures.items():
            texts = {form: one.text("{:.3f}".format) for form, one in forms.items() if one is not None}
            lines.append({"way": kind, "measure": name} | {form: texts.get(form, "") for form in FORMS})
    return lines
