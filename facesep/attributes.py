"""The seven attributes of a face: what tells them apart. Decoder, encoder, page and commands read it here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Attribute(str, Enum):
    """The seven attributes, in the order in which their codes are concatenated."""

    SHAPE = "shape"
    EXPRESSION = "expression"
    TEXTURE = "texture"
    ILLUMINATION = "illumination"
    HAIR = "hair"
    ROTATION = "rotation"
    TRANSLATION = "translation"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Traits:
    """What is particular to one attribute.

    Attributes:
        size: length of its code.
        label: what the page calls it.
        branch: what its code enters: the ``density`` or the ``colour`` of the field, or the ``camera``.
        blending: between two people: ``straight``; along the ``sphere`` of radius ``sqrt(size)`` that the
            code lies on; or by the shortest ``turn`` between two poses.
        window: what a light head looks at: the whole canonical ``image``, or the ``face`` in its middle.
        scale: typical size of the code's numbers; it has a unit (radians, decimetres) unless it is 1.
    """

    size: int
    label: str
    branch: Literal["density", "colour", "camera"]
    blending: Literal["straight", "sphere", "turn"] = "straight"
    window: Literal["image", "face"] = "face"
    scale: float = 1.0


TRAITS: dict[str, Traits] = {
    "shape": Traits(512, "Shape of the head", "density", blending="sphere", window="image"),
    "expression": Traits(64, "Expression", "density"),
    "texture": Traits(80, "Skin", "colour", window="image"),
    "illumination": Traits(27, "Light", "colour"),
    "hair": Traits(16, "Hairstyle", "density", window="image"),
    "rotation": Traits(3, "Turn of the head", "camera", blending="turn", scale=0.2),
    "translation": Traits(3, "Place in the picture", "camera", scale=0.2),
}
"""The registry, in the order of the codes."""

ATTRIBUTES: tuple[str, ...] = tuple(TRAITS)
CODE_SIZES: dict[str, int] = {name: one.size for name, one in TRAITS.items()}
"""Length of each attribute's code; 705 numbers in all."""
CODE_LENGTH = sum(CODE_SIZES.values())


def of_branch(branch: str) -> tuple[str, ...]:
    """The attributes whose codes enter a branch, in the order of the codes."""
    return tuple(name for name, one in TRAITS.items() if one.branch == branch)
