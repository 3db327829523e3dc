"""Named moves by regression: which change of a code changes one property of a face and no other.

For each attribute, codes of many people are put on the average face one after the other, and the properties
of its renders (``facesep.analysis.properties``) are regressed on the code by ridge regression: ``p ~ G z``.
A move is the change of the code that is likeliest among people, of covariance S, and changes the properties
as it should:

    v = S G^T (G S G^T + e I)^-1 w

where w is 0 for every property but its own. What the landmark head says of the code joins G with rows of
its own, since photo detail moves skin by it. Whether a move does what its name says is then measured on
photos of other people, in results with photo detail.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facesep.analysis.properties import DISTANCES, PROPERTIES, distances, measure
from facesep.codes import CODE_SIZES, Codes
from facesep.detail.portrait import Portrait
from facesep.errors import DataError
from facesep.images import to_tensor
from facesep.moves import Direction, move
from facesep.nets.landmarks import CODE

if TYPE_CHECKING:
    from facesep.model import FaceSep


@dataclass(frozen=True)
class Wanted:
    """A move that users ask for.

    Attributes:
        name: what it does.
        attribute: whose code it changes.
        targets: the properties that it moves, in typical differences for one unit.
        free: properties that may go with them.
        refused: what people who looked at sheets of it (``eval/edits.py --sheet``) have against it.
    """

    name: str
    attribute: str
    targets: Mapping[str, float]
    free: tuple[str, ...] = ()
    refused: str = ""


WANTED = (
    Wanted("Open the mouth", "expression", {"mouth opening": 1, "mouth area": 1}),
    Wanted("Smile", "expression", {"corners of the mouth": 1, "mouth width": 1}, ("mouth area", "eye area")),
    Wanted("Corners of the mouth down", "expression", {"corners of the mouth": -1}),
    Wanted("Pucker the lips", "expression", {"mouth width": -1}),
    Wanted("Raise the eyebrows", "expression", {"brows": 1}, ("brow tone", "fringe")),
    Wanted(
        "Close the eyes",
        "expression",
        {"eye opening": -3, "eye area": -3},
        refused="lids stay open, and the head grows",
    ),
    Wanted("Wider face", "shape", {"face width": 1}, ("jaw width",)),
    Wanted("Wider jaw", "shape", {"jaw width": 1}, ("face width",)),
    Wanted("Longer chin", "shape", {"chin": 1}),
    Wanted("Wider nose", "shape", {"nose width": 1}),
    Wanted("Longer nose", "shape", {"nose length": 1}),
    Wanted("Darker skin", "texture", {"skin tone": -1}, ("brow tone",)),
    Wanted("Darker hair", "texture", {"hair tone": -0.5}, ("brow tone",)),
    Wanted("Rosier skin", "texture", {"redness of skin": 1}, refused="hair takes the colour, too"),
    Wanted("Beard", "texture", {"lower face": -1}, ("light from above",), refused="no beard is seen"),
    Wanted("Light from the right", "illumination", {"light from the right": 1}),
    Wanted("Light from above", "illumination", {"light from above": 1}, ("lower face",)),
    Wanted("Warmer light", "illumination", {"warmth": 1}, ("redness of skin",)),
    Wanted("Brighter light", "illumination", {"skin tone": 1}, ("brow tone", "hair tone")),
    Wanted("Longer hair", "hair", {"hair length": 1}, refused="parts of a neck and seams are seen"),
    Wanted("Fuller hair", "hair", {"hair fullness": 1}, refused="a seam is seen where the hair was"),
)
"""In the order in which they are offered. Freckles are finer than the model draws."""
COUNTS = {"expression": 800, "shape": 1500, "texture": 500, "illumination": 500, "hair": 500}
"""Faces whose code of an attribute is put on the average face."""
RIDGE = {"shape": 0.1}
"""Of the regression, as a share of the mean variance of a number of the code; 0.01 for others."""
HOLD = 0.03
"""The e of the formula, as a share of the mean of the diagonal: less holds the others more strictly."""
PEOPLE = 200
"""Faces from which the typical difference between two people is taken."""
REACH = 1.5
"""Units to each side at which a move is measured."""
LEAST = 0.1
"""Typical differences between two people by which one unit moves its own property, at least."""
SHARE = 0.6
"""Of that, by which another property may move at most."""
DIGITS = 4
"""Significant digits of what is stored."""


@dataclass(frozen=True)
class Response:
    """What one unit of a move does to photos of other people, in typical differences between two people.

    Attributes:
        own: mean over its properties, as the name says it.
        other: the largest of the others.
        what: that property.
        refused: see ``Wanted``.
    """

    own: float
    other: float
    what: str
    refused: str = ""

    @property
    def offered(self) -> bool:
        """Whether it moves what its name says, and little else."""
        return not self.refused and self.own >= LEAST and abs(self.other) <= SHARE * self.own


@torch.no_grad()
def fit(
    sep: FaceSep,
    codes: Codes,
    counts: Mapping[str, int] = COUNTS,
    on_face: Callable[[int, int], object] | None = None,
    wanted: Sequence[Wanted] = WANTED,
) -> tuple[list[Direction], Tensor]:
    """The moves of ``wanted``.

    Args:
        sep: a model with a landmark head.
        codes: of many photos of many people, a batch in random order.
        counts: how many of them are rendered for each attribute.
        on_face: called with the numbers of renders done and to do.
        wanted: what is looked for.

    Returns:
        The moves, and the typical difference between two people in each of ``PROPERTIES``.

    Raises:
        DataError: for a model without a landmark head, or too few photos.
    """
    if sep.landmarks is None:
        raise DataError("this checkpoint has no landmark head: make one by train/landmarks.py first")
    if len(codes) < 32:
        raise DataError(f"{len(codes)} photos are too few for a regression: give hundreds")
    mean = Codes(**{name: code.mean(0, keepdim=True) for name, code in codes.items()})
    length = codes.shape.norm(dim=-1).mean()
    front = torch.zeros_like(mean.rotation)
    mean = mean.replace(rotation=front, shape=mean.shape * length / mean.shape.norm())
    some = codes[: min(len(codes), PEOPLE)]
    attributes = list(dict.fromkeys(one.attribute for one in wanted))
    total = len(some) + sum(min(counts[name], len(codes)) for name in attributes)
    count = itertools.count(1)

    def seen_of(faces: Iterable[Codes]) -> Tensor:
        rows = []
        for face in faces:
            rows.append(measure(sep, sep.decoder(face).image.float().clamp(0, 1)).cpu())
            if on_face:
                on_face(next(count), total)
        return torch.cat(rows)

    spread = seen_of(one.batch().replace(rotation=front) for one in some).std(0)
    directions = []
    for attribute in attributes:
        own = getattr(codes, attribute)
        seen = seen_of(mean.replace(**{attribute: code[None]}) for code in own[: counts[attribute]]) / spread
        slopes = ridge(own[: len(seen)], seen, RIDGE.get(attribute, 0.01))
        rows = {name: slopes[PROPERTIES.index(name)] for name in PROPERTIES}
        typical = dict(zip(PROPERTIES, seen.std(0).tolist(), strict=True))
        head = _landmark_rows(sep, codes, attribute)
        for one in (each for each in wanted if each.attribute == attribute):
            vector = solve(own, rows, head, typical, one)
            directions.append(Direction(attribute, one.name, vector, getattr(mean, attribute)[0]))
    return directions, spread


def ridge(codes: Tensor, seen: Tensor, weight: float) -> Tensor:
    """G of ``seen ~ G codes``, both about their means: ``float64 Tensor[K, n]``."""
    x, y = (value.double() - value.double().mean(0) for value in (codes, seen))
    penalty = weight * len(x) * x.var(0).mean() * torch.eye(x.shape[1], dtype=x.dtype)
    return torch.linalg.solve(x.T @ x + penalty, x.T @ y).T


def solve(
    codes: Tensor,
    rows: Mapping[str, Tensor],
    head: Mapping[str, Tensor],
    typical: Mapping[str, float],
    one: Wanted,
) -> Tensor:
    """The change of a code for one unit of a move, see the top of this file.

    Args:
        codes: of many people, ``Tensor[N, n]``.
        rows: of G, by property.
        head: rows that the landmark head gives, by property; none for codes that it does not read.
        typical: difference between two codes on one face, by property.
        one: the move.
    """
    x = codes.double() - codes.double().mean(0)
    cover = x.T @ x / len(x) + 1e-3 * x.var(0).mean() * torch.eye(x.shape[1], dtype=x.dtype)
    held = [name for name in rows if name not in one.free]
    moved = [name for name in head if name not in one.free]
    g = torch.stack([*(rows[name] for name in held), *(head[name] for name in moved)])
    steps = [one.targets.get(name, 0.0) * typical[name] for name in held]
    steps += [one.targets.get(name, 0.0) * float((x @ head[name]).std()) for name in moved]
    want = torch.tensor(steps, dtype=x.dtype)
    products = g @ cover @ g.T
    products += HOLD * products.diagonal().mean() * torch.eye(len(g), dtype=x.dtype)
    vector = cover @ g.T @ torch.linalg.solve(products, want)
    return (vector * (want @ want) / (g @ vector @ want)).float()  # one unit on average over its properties


def _landmark_rows(sep: FaceSep, codes: Codes, attribute: str) -> dict[str, Tensor]:
    """What the landmark head says of the distances, in typical differences."""
    if attribute not in CODE:
        return {}
    weight = sep.landmarks.line.weight.double().cpu().unflatten(0, (-1, 3))
    starts = {"shape": 0, "expression": CODE_SIZES["shape"]}
    part = weight[..., starts[attribute] : starts[attribute] + CODE_SIZES[attribute]]
    map = distances(sep.landmarks).double()
    spread = torch.einsum("knc,bnc->bk", map, sep.landmarks(codes).double().cpu()).std(0)
    rows = torch.einsum("knc,nci->ki", map, part) / spread[:, None]
    return dict(zip(DISTANCES, rows, strict=True))


def respond(sep: FaceSep, found: Direction, portraits: Sequence[Portrait], spread: Tensor) -> Tensor:
    """What one unit of a move does to results with photo detail.

    Args:
        sep: the model.
        found: the move.
        portraits: of other people.
        spread: the typical difference between two people in each of ``PROPERTIES``.

    Returns:
        ``Tensor[K]``, mean over the people.
    """
    sides = []
    for amount in (-REACH, REACH):
        shown = [move(one, {found: amount}) for one in portraits]
        pictures = [to_tensor(sep.render(one, yaw=0.0, pitch=0.0, roll=0.0, size=256)) for one in shown]
        sides.append(measure(sep, torch.stack(pictures)))
    return (sides[1] - sides[0]).mean(0) / (2 * REACH) / spread


def response(one: Wanted, seen: Tensor) -> Response:
    """Sums up what ``respond`` gives."""
    values = dict(zip(PROPERTIES, seen.tolist(), strict=True))
    own = sum(values[name] * (1 if way > 0 else -1) for name, way in one.targets.items()) / len(one.targets)
    others = {name: value for name, value in values.items() if name not in (*one.targets, *one.free)}
    what = max(others, key=lambda name: abs(others[name]))
    return Response(own, others[what], what, one.refused)


def as_json(found: Sequence[tuple[Direction, Response]]) -> dict[str, Any]:
    """What ``moves.json`` holds: the moves that are offered, and what was measured of all of them."""
    kept = [one for one, seen in found if seen.offered]

    def numbers(code: Tensor) -> list[float]:
        return [float(f"{value:.{DIGITS}g}") for value in code.tolist()]

    return {
        "moves": [
            {"name": one.name, "attribute": one.attribute, "vector": numbers(one.vector)} for one in kept
        ],
        "origins": {one.attribute: numbers(one.origin) for one in kept},
        "measured": [
            {"name": one.name, "own": round(seen.own, 2), "other": round(seen.other, 2), "what": seen.what}
            for one, seen in found
        ],
    }


def table(found: Sequence[tuple[Direction, Response]]) -> str:
    """What was measured, in Markdown."""
    lines = ["| move | code | its own property | the next one | offered |", "|---|---|---|---|---|"]
    for one, seen in found:
        offered = "yes" if seen.offered else f"no: {seen.refused}" if seen.refused else "no"
        lines.append(
            f"| {one.name} | {one.attribute} | {seen.own:.2f} | {seen.other:+.2f} {seen.what} | {offered} |"
        )
    return "\n".join(lines)
