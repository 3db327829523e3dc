"""The credited photos that come with facesep, and what the page tries on them."""

from __future__ import annotations

from dataclasses import dataclass

from facesep.moves import PHOTOS

FOLDER = PHOTOS


@dataclass(frozen=True)
class Example:
    """Two photos and what to take from the second.

    Attributes:
        source: name of the photo whose face is changed.
        donor: name of the photo from which attributes are taken.
        attributes: what is taken.
    """

    source: str
    donor: str
    attributes: tuple[str, ...]


EXAMPLES = (
    Example("london_016.jpg", "london_036.jpg", ("expression",)),
    Example("london_092.jpg", "london_016.jpg", ("hair",)),
    Example("london_099.jpg", "london_092.jpg", ("illumination", "texture")),
)
