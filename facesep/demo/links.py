"""Settings of the page as the query of a link: what was chosen, nothing of a photo.

A link holds what the visitor set: attributes, strength, angles, how far sliders moved. Codes, pictures and
the place where a face stands on a slider are not settings and have no place here. Links come from anybody,
so what is read from one is checked like any other request, and whatever does not fit is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from facesep.codes import ATTRIBUTES
from facesep.demo.limits import MAX_PITCH, MAX_STRENGTH, MAX_YAW
from facesep.moves import LARGEST, PLACES

TABS = ("transfer", "mix", "turn", "edit", "drive", "inside", "verify")
NOTHING = "nothing"
"""In place of an attribute: nothing is taken."""
MIXED = ("hair", "illumination", "expression", "texture")
"""What the other faces of a mix give at first."""
LINKED_MOVES, LINKED_VIEW = "linked moves", "linked view"
"""Where a visit keeps what a link says about sliders and about yaw and pitch, until there is a face."""
QUARTER = 0.25
"""To what the moves of sliders are rounded: whoever brings a slider to a round place, such as 0, does not
tell by the move where the face had stood."""
MAX_LENGTH = 2000
"""Longest query that is read."""


@dataclass(frozen=True)
class Settings:
    """What a link says. What is None, empty or missing stays as the page has it.

    Attributes:
        tab: the tab that opens.
        model: name of a model.
        attributes: what a transfer takes.
        strength: of a transfer.
        mix: what is taken from each other face, an attribute or ``NOTHING``.
        yaw: of the view, in degrees.
        pitch: of the view, in degrees.
        moves: for attribute and number of a slider, counted from 1, how far it moved.
    """

    tab: str | None = None
    model: str | None = None
    attributes: tuple[str, ...] = ()
    strength: float | None = None
    mix: tuple[str, ...] = ()
    yaw: float | None = None
    pitch: float | None = None
    moves: dict[tuple[str, int], float] = field(default_factory=dict)


def write(settings: Settings) -> str:
    """The query of a link, such as ``tab=turn&yaw=25``."""
    pairs = {
        "tab": settings.tab,
        "model": settings.model,
        "take": " ".join(settings.attributes),
        "strength": _number(settings.strength),
        "mix": " ".join(settings.mix),
        "yaw": _number(settings.yaw),
        "pitch": _number(settings.pitch),
    }
    for (attribute, number), move in settings.moves.items():
        rounded = round(move / QUARTER) * QUARTER
        pairs[f"{attribute}{number}"] = _number(rounded) if rounded else None
    return urlencode({name: value for name, value in pairs.items() if value})


def read(query: str, models: Sequence[str] = ()) -> Settings:
    """What the query of a link says; what is unknown or out of range is left out.

    Args:
        query: with or without the question mark.
        models: names that may be chosen.
    """
    if not isinstance(query, str) or len(query) > MAX_LENGTH:
        return Settings()
    given = dict(parse_qsl(query.removeprefix("?")))
    moves = {place: _within(given.get("{}{}".format(*place)), 2 * LARGEST) for place in PLACES}
    mix = tuple(given.get("mix", "").split())
    strength = _within(given.get("strength"), MAX_STRENGTH)
    taken = given.get("take", "").split()
    return Settings(
        tab=given.get("tab") if given.get("tab") in TABS else None,
        model=given.get("model") if given.get("model") in models else None,
        attributes=tuple(name for name in ATTRIBUTES if name in taken),
        strength=None if strength is None or strength < 0 else strength,
        mix=mix if len(mix) == len(MIXED) and {*mix} <= {NOTHING, *ATTRIBUTES} else (),
        yaw=_within(given.get("yaw"), MAX_YAW),
        pitch=_within(given.get("pitch"), MAX_PITCH),
        moves={place: move for place, move in moves.items() if move},
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _within(text: str | None, most: float) -> float | None:
    """A number of at most this size, or None."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and abs(value) <= most else None
