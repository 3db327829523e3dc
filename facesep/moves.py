"""Named moves: directions in which the codes of a face are edited.

A checkpoint may bring its own, in ``moves.json`` (``facesep.analysis.moves`` makes it): each moves one
property that has a name, such as the width of the face or the side the light comes from, and is there only
because renders showed that it moves that and little else. Attributes without such moves have directions
that are computed from the checkpoint and the example photos that come with facesep:

- *Principal directions* of an attribute: the right singular vectors of the Jacobian of the picture with
  respect to that attribute's code, so the moves that change the picture most. It is measured by forward
  differences on a coarse render of the average example face, seen from the front. Their names come from
  the same measurement: they say where and how the picture changes.
- *Moves of the face*: checkpoints trained with the project's open labels hold, at known places of the
  expression code, the standardised weights of the ICT face model's expression shapes. A move is a sum
  of such places, left and right together, and has the name of what the shapes do. It is offered only where
  the checkpoint is seen to follow it: the average face is rendered with the move to both sides, read
  again, and must show a good part of this move, and more of it than of any other. Principal directions
  across the moves that remain take the places of the others.

A slider's value is the position of the face along its direction. One unit is the typical difference
between two faces: in the property, or in one number of that code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from facesep import checks
from facesep.codes import CODE_SIZES, Codes
from facesep.detail.portrait import Portrait, codes_of
from facesep.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from facesep.model import FaceSep

FILE = "moves.json"
"""Where a checkpoint has moves of its own."""
PHOTOS = Path(__file__).parent / "assets" / "examples"
"""The credited photos that come with facesep; the average of their faces is the one that is measured."""
LARGEST = 3.0
"""How far a slider goes to each side, in typical differences between two faces; a move goes twice as far."""

GROUPS: dict[str, int] = {"expression": 7, "shape": 3, "texture": 3, "illumination": 4, "hair": 3}
"""Attributes that have sliders, and how many at most."""
PLACES = tuple((attribute, number) for attribute, count in GROUPS.items() for number in range(1, count + 1))
"""All sliders in their order: attribute, and number counted from 1."""
MOVES: dict[str, tuple[int, ...]] = {
    "Open the mouth": (30,),
    "Smile": (49, 50),
    "Corners of the mouth down": (35, 36),
    "Pucker the lips": (43,),
    "Raise the eyebrows": (4, 5, 6, 7),
    "Lower the eyebrows": (2, 3),
    "Close the eyes": (14, 15),
}
"""Places in the expression code of the ICT shapes jawOpen, mouthSmile, mouthFrown, mouthPucker,
browInnerUp with browOuterUp, browDown and eyeBlink."""
LABELLED_BY = "ICT-FaceKit"
"""Name in a training record that says that expression codes have the meaning of ``MOVES``."""

_TITLES = {"shape": "Head", "expression": "Face", "texture": "Skin", "illumination": "Light", "hair": "Hair"}
FOLLOWS = 0.1
"""Share of a move that must be found again in the picture for the move to be offered under its name."""
_REACH = 2.0  # units to each side at which this is measured
_RAYS, _LEVELS = 8, 1  # the coarse render
_STEP = 0.3  # of a typical difference
_BATCH = 16


@dataclass(frozen=True, eq=False)
class Direction:
    """One slider.

    Attributes:
        attribute: whose code it moves.
        name: what it does.
        vector: ``Tensor[n]``, the change of the code for one unit.
        origin: ``Tensor[n]``, the code at which the slider stands at 0.
    """

    attribute: str
    name: str
    vector: Tensor
    origin: Tensor

    def value(self, codes: Codes) -> float:
        """Where a face stands, within the range of the slider."""
        away = getattr(codes, self.attribute).float() - self.origin.to(codes.shape.device)
        vector = self.vector.to(away)
        found = float(away @ vector / (vector @ vector))
        return max(-LARGEST, min(LARGEST, found))


def stored(value: object) -> tuple[Direction, ...]:
    """The moves that ``moves.json`` of a checkpoint holds.

    Args:
        value: ``{"moves": [{"name", "attribute", "vector"}, ...], "origins": {attribute: code, ...}}``.

    Raises:
        CheckpointError: for anything else.
    """
    found: list[Direction] = []
    try:
        origins = {name: _code(name, code) for name, code in value["origins"].items()}  # type: ignore[index]
        for one in value["moves"]:  # type: ignore[index]
            name, attribute = one["name"], one["attribute"]
            if not isinstance(name, str) or not 0 < len(name) <= 60 or not name.isprintable():
                raise ValueError("a name is no short text")
            found.append(Direction(attribute, name, _code(attribute, one["vector"]), origins[attribute]))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"moves.json of the checkpoint is damaged ({error}): copy it again") from error
    counts = Counter(one.attribute for one in found)
    names = {one.name.casefold() for one in found}
    if len(names) < len(found) or any(count > GROUPS[name] for name, count in counts.items()):
        raise CheckpointError(
            "moves.json of the checkpoint has a name twice, or too many moves: copy it again"
        )
    return tuple(found)


def _code(attribute: str, numbers: object) -> Tensor:
    code = torch.tensor(numbers, dtype=torch.float32)
    if attribute not in GROUPS or code.shape != (CODE_SIZES[attribute],) or not torch.isfinite(code).all():
        raise ValueError(f"what it says of {str(attribute)[:20]!r} is no code")
    return code


def places(found: Sequence[Direction]) -> dict[tuple[str, int], Direction]:
    """Moves by the place of ``PLACES`` that each has; places without one are missing."""
    numbers: Counter[str] = Counter()
    placed = {}
    for one in found:
        numbers[one.attribute] += 1
        placed[one.attribute, numbers[one.attribute]] = one
    return placed


@torch.no_grad()
def directions(sep: FaceSep, faces: Sequence[Codes]) -> tuple[Direction, ...]:
    """All sliders of a model, in the order of ``GROUPS``.

    Args:
        sep: the model.
        faces: at least two single faces; their average is the face around which is measured.
    """
    if len(faces) < 2:
        raise ConfigError(f"directions need at least two faces, got {len(faces)}: give more")
    batch = Codes.stack(list(faces)).to(sep.device, torch.float32)
    mean = Codes(**{name: code.mean(0) for name, code in batch.items()})
    front = mean.replace(rotation=torch.zeros_like(mean.rotation))
    found: list[Direction] = []
    own = stored(sep.extras["moves"]) if "moves" in sep.extras else ()
    for attribute, count in GROUPS.items():
        if any(one.attribute == attribute for one in own):
            found += [one for one in own if one.attribute == attribute]
            continue
        codes = getattr(batch, attribute)
        unit = max(float(codes.std(0).square().mean().sqrt()), 1e-3)
        moves = _followed(sep, front) if attribute == "expression" and _labelled(sep) else []
        found += moves + _principal(sep, front, attribute, count - len(moves), unit, moves)
    return tuple(Direction(one.attribute, one.name, one.vector.cpu(), one.origin.cpu()) for one in found)


def move(face: Portrait | Codes, chosen: Mapping[Direction, float]) -> Portrait | Codes:
    """Moves a face along directions.

    Args:
        face: one face or a batch.
        chosen: how far along each direction, in units, from where the face stands.

    Raises:
        ConfigError: for a distance beyond the range of a slider.
    """
    codes = codes_of(face)
    changed: dict[str, Tensor] = {}
    for direction, amount in chosen.items():
        checks.number(amount, direction.name, -2 * LARGEST, 2 * LARGEST)
        code = changed.get(direction.attribute, getattr(codes, direction.attribute))
        if amount:
            changed[direction.attribute] = code + amount * direction.vector.to(code)
    if "shape" in changed:  # lives on a sphere: keep the length
        length = changed["shape"].norm(dim=-1, keepdim=True).clamp_min(1e-8)
        changed["shape"] = changed["shape"] * codes.shape.norm(dim=-1, keepdim=True) / length
    return face.replace(**changed) if changed else face


def named_moves(found: Sequence[Direction], moves: Mapping[str, float]) -> dict[Direction, float]:
    """Looks up directions by their names; capitals do not matter.

    Raises:
        ConfigError: for a name that does not exist, or something that is no table of names and numbers.
    """
    if not isinstance(moves, Mapping) or not moves:
        raise ConfigError("moves must hold names and how far each goes, such as {'smile': 1.5}")
    by_name = {direction.name.casefold(): direction for direction in found}
    chosen: dict[Direction, float] = {}
    for name, amount in moves.items():
        direction = by_name.get(str(name).strip().casefold())
        if direction is None:
            names = ", ".join(one.name for one in found)
            raise ConfigError(f"there is no move {str(name)[:80]!r}: choose from {names}")
        if direction in chosen:
            raise ConfigError(f"{direction.name} is given twice: choose one distance for it")
        chosen[direction] = amount
    return chosen


def _labelled(sep: FaceSep) -> bool:
    record = sep.extras.get("train_config") or {}
    sets = record.get("data")
    return isinstance(sets, list) and any(
        isinstance(one, dict) and str(one.get("name", "")).startswith(LABELLED_BY) for one in sets
    )


def _followed(sep: FaceSep, around: Codes) -> list[Direction]:
    """The moves that the checkpoint follows."""
    moves = []
    for name, places in MOVES.items():
        vector = torch.zeros_like(around.expression)
        vector[list(places)] = 1.0
        moves.append(Direction("expression", name, vector, around.expression))
    seen = responses(sep, around, moves)
    return [
        move
        for number, move in enumerate(moves)
        if seen[number, number] >= max(FOLLOWS, float(seen[number].abs().max()))
    ]


@torch.no_grad()
def responses(sep: FaceSep, around: Codes, moves: Sequence[Direction]) -> Tensor:
    """What the encoder finds again in renders of moved faces.

    Args:
        sep: the model.
        around: one face.
        moves: directions.

    Returns:
        ``Tensor[n, n]``: for a move (row), the units found along each direction (column) for one unit that
        was asked for.
    """
    sides = []
    for amount in (-_REACH, _REACH):
        moved = [
            around.replace(**{one.attribute: getattr(around, one.attribute) + amount * one.vector})
            for one in moves
        ]
        pictures = sep.decoder(Codes.stack(moved)).image.float().clamp(0, 1)
        sides.append(sep.encoder(pictures))
    rows = []
    for one in moves:
        low, high = (getattr(side, one.attribute).float() for side in sides)
        rows.append((high - low) @ one.vector / (one.vector @ one.vector) / (2 * _REACH))
    return torch.stack(rows, 1)


def _principal(
    sep: FaceSep, around: Codes, attribute: str, count: int, unit: float, across: Sequence[Direction] = ()
) -> list[Direction]:
    """The moves of one code that change the picture most, strongest first, at right angles to some others."""
    size = CODE_SIZES[attribute]
    code = getattr(around, attribute)
    steps = code + _STEP * unit * torch.eye(size, device=code.device)
    start = _coarse(sep, around.batch())
    columns = []
    for part in steps.split(_BATCH):
        here = Codes(
            **{name: part if name == attribute else one.expand(len(part), -1) for name, one in around.items()}
        )
        columns.append(_coarse(sep, here) - start)
    jacobian = torch.cat(columns)  # [n, 3 * side * side], transposed
    if across:
        others, _ = torch.linalg.qr(torch.stack([one.vector for one in across], 1))
        jacobian = jacobian - others @ (others.T @ jacobian)
    vectors, strengths, pictures = torch.linalg.svd(jacobian.cpu().double(), full_matrices=False)
    side = round((pictures.shape[1] / 3) ** 0.5)
    found = []
    for index in range(count):
        vector, picture = vectors[:, index].float(), pictures[index].float().view(3, side, side)
        sign = -1.0 if _orientation(picture) < 0 else 1.0
        words = _words(sign * picture) if float(strengths[index]) > 1e-9 else "changes nothing"
        name = f"{_TITLES[attribute]} {index + 1}: {words}"
        found.append(Direction(attribute, name, sign * unit * vector.to(code.device), code))
    return found


def _coarse(sep: FaceSep, codes: Codes) -> Tensor:
    """Small pictures ``Tensor[B, 3 * side * side]``."""
    return sep.decoder(codes, ray_size=_RAYS, levels=_LEVELS).image.float().flatten(1)


def _orientation(picture: Tensor) -> float:
    """Positive if a change makes the picture brighter; where that says little, its right half."""
    light = picture.mean(0)
    even = float(light.sum()) / max(float(light.abs().sum()), 1e-9)
    return even if abs(even) > 0.2 else _right_less_left(light)


def _right_less_left(light: Tensor) -> float:
    half = light.shape[1] // 2
    return float(light[:, half:].sum() - light[:, :half].sum())


def _words(picture: Tensor) -> str:
    """Says where and how a picture changes, from the change ``Tensor[3, s, s]`` itself."""
    light = picture.mean(0)
    colour = (picture - light).square().sum() > light.square().sum()
    rows = picture.square().sum((0, 2))
    height = float((rows * torch.arange(len(rows), device=rows.device)).sum() / rows.sum()) / (len(rows) - 1)
    odd = abs(_right_less_left(light)) / max(float(light.abs().sum()), 1e-9)
    where = "upper part" if height < 0.42 else "lower part" if height > 0.62 else "middle"
    if colour:
        return f"colour, most in the {where}"
    if odd > 0.6:
        return "one side brighter, the other darker"
    if float(light.sum()) / max(float(light.abs().sum()), 1e-9) > 0.7:
        return f"brighter, most in the {where}"
    return f"form, most in the {where}"
