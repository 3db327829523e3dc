"""What a source of photos is: it lists photos by name and turns a name into a canonical crop with labels."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from facesep.errors import DataError

STRICTNESS = ("train", "val", "test")
"""A person whose photos are listed in two splits stays in the later one of these."""
OTHER_SPLIT = "person is also in another split"


class RejectError(Exception):
    """Raised by a source for a photo that cannot be used; the message is a short, countable reason."""


@dataclass(frozen=True)
class Prepared:
    """A canonical crop.

    Attributes:
        image: RGB, ``size x size``, background kept.
        label: mode L: 0 background, 1 face, 2 hair, 3 neck and body.
        meta: JSON-ready; has at least ``name``, ``split``, ``points5`` and ``crop``.
    """

    image: Image.Image
    label: Image.Image
    meta: dict[str, Any]


class Source(ABC):
    """Where photos come from. Must be picklable: it is sent to the worker processes once."""

    name: str
    """Kind of the source; the stable ids depend on it."""

    @abstractmethod
    def names(self) -> list[str]:
        """Names of all photos, in a fixed order, each once."""

    @abstractmethod
    def prepare(self, name: str, size: int) -> Prepared:
        """Crops one photo.

        Raises:
            RejectError: if the photo cannot be used.
        """

    def path(self, name: str) -> Path | None:
        """The photo's file, if it has one: two photos with the same bytes are one photo."""
        return None

    def excluded(self) -> dict[str, str]:
        """Photos that are left out without a look at them, with the reason of each."""
        return {}

    def settings(self) -> dict[str, Any]:
        """What the crops depend on besides the photos; JSON-ready. Shards of other settings are redone."""
        return {}

    def facts(self, name: str) -> Any:
        """What is known about a photo besides its pixels; JSON-ready. Shards of other facts are redone."""
        return None


def drawn_split(key: str, val_share: float) -> str:
    """``val`` for a share of all keys (people, or names where people are not known), else ``train``.

    It depends on nothing but the key, so a person never crosses and new photos change no other's split.
    """
    digest = hashlib.blake2b(f"split of {key}".encode(), digest_size=8).digest()
    return "val" if int.from_bytes(digest, "big") < val_share * 2**64 else "train"


def in_two_splits(photos: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Photos to leave out so that no person is in two splits.

    Args:
        photos: ``(name, person, split)``; an empty person is not known.

    Raises:
        DataError: for an unknown split.
    """
    photos = list(photos)
    strictest: dict[str, int] = {}
    for name, person, split in photos:
        if split not in STRICTNESS:
            raise DataError(f"{name} has the unknown split {split!r}: use one of {', '.join(STRICTNESS)}")
        strictest[person] = max(strictest.get(person, 0), STRICTNESS.index(split))
    return {
        name: OTHER_SPLIT
        for name, person, split in photos
        if person and STRICTNESS.index(split) < strictest[person]
    }
