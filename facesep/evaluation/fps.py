"""Frames per second, one photo at a time (Table 4 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping

from facesep.evaluation.paper import TABLE_4
from facesep.evaluation.report import Row
from facesep.evaluation.speed import ALIGNING, BOTH, Speed

NOTE = (
    "Photo to reconstructed picture, batch 1, medians; refinement is not part of it. Rows 'paper' were "
    "measured on an RTX 3090 and do not say whether detection is included; ours on {machine}, so only rows "
    "of one machine can be compared."
)


def frames_per_second(speed: Speed, fitted: Mapping[str, float] | None = None) -> dict[str, float]:
    """Rates by method.

    Args:
        speed: measured steps.
        fitted: mean seconds for a photo of methods that fit each photo.
    """
    both, align = speed.steps[BOTH].median, speed.steps[ALIGNING].median
    found = {
        "facesep, from the aligned crop": 1 / both,
        "facesep, with detection and alignment": 1 / (both + align),
    }
    return found | {name: 1 / seconds for name, seconds in (fitted or {}).items()}


def rows(rates: Mapping[str, float]) -> list[Row]:
    """Our rows and the paper's."""
    ours = [
        {"method": name, "FPS": f"{rate:.3g}", "seconds a photo": f"{1 / rate:.3g}"}
        for name, rate in rates.items()
    ]
    paper = [
        {"method": f"paper: {name}", "FPS": f"{rate:.3g}", "seconds a photo": f"{1 / rate:.3g}"}
        for name, rate in TABLE_4.items()
    ]
    return ours + paper
