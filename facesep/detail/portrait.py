"""Portraits: codes that remember the photos they came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from facesep.codes import ATTRIBUTES, Attribute, Codes, parse_strengths
from facesep.detail.source import Source
from facesep.errors import CodesError
from facesep.faces.crop import Crop

PIXELS = ("expression", "hair")
"""Attributes that bring pixels of the donor's photo: what an open mouth shows, and hair."""
COLOURS = ("texture", "illumination")
OTHER_HAIR = (0.8, 2.5)
"""Distances of hair codes from which the photo's own hair begins to go, and is gone; those of two people are
3.7 apart on average."""


class Frame(NamedTuple):
    """Where a portrait stands in its photo.

    Attributes:
        crop: the canonical window in pixels of the photo.
        photo: the photo, RGB; None when it was not kept.
    """

    crop: Crop
    photo: Image.Image | None


@dataclass(frozen=True, eq=False)
class Portrait:
    """Codes of one face or a batch, with the photos that give its pixels.

    It is edited like ``facesep.codes.Codes`` and rendered by ``FaceSep.render`` and
    ``FaceSep.orbit``. Moving, recolouring and filling is ``facesep.detail.compose``.

    Attributes:
        codes: what the result shows.
        base: the photos that give the head; as many as there are faces.
        frames: where each stands in its photo.
        donors: photos that give the pixels of an attribute of ``PIXELS``.
        shares: how much of them, 0 to 1, by attribute.
        other: a portrait into which this one fades, and how far, 0 to 1; see ``interpolate``.
        warnings: plain sentences about what may spoil the result.
    """

    codes: Codes
    base: Source
    frames: tuple[Frame, ...]
    donors: Mapping[str, Source] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    other: tuple[Portrait, float] | None = None
    warnings: tuple[str, ...] = ()

    # -- containers ---------------------------------------------------------------------------------

    @property
    def batched(self) -> bool:
        """Whether the codes have a batch dimension."""
        return self.codes.batched

    @property
    def resolution(self) -> float:
        """Pixels of the photo along a side of the canonical crop; the least of a batch."""
        return min(frame.crop.side for frame in self.frames)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: int | slice) -> Portrait:
        count = len(self.codes)
        if isinstance(index, slice):
            part = index
        else:
            place = range(count)[index]
            part = slice(place, place + 1)
        return changed(
            self,
            codes=self.codes[index],
            base=self.base[part],
            frames=self.frames[part],
            donors={
                name: donor[part] if len(donor) == count else donor for name, donor in self.donors.items()
            },
            other=self.other and (self.other[0].batch()[index], self.other[1]),
        )

    def __iter__(self) -> Iterator[Portrait]:
        return (self[i] for i in range(len(self)))

    def batch(self) -> Portrait:
        """This portrait with a batch dimension (no copy)."""
        return changed(
            self, codes=self.codes.batch(), other=self.other and (self.other[0].batch(), self.other[1])
        )

    @staticmethod
    def stack(portraits: Sequence[Portrait]) -> Portrait:
        """Joins portraits as they were read from their photos into one batch.

        Raises:
            CodesError: for none, or for portraits with donors (edit them after joining).
        """
        if not portraits:
            raise CodesError("nothing to stack: give at least one Portrait")
        if any(one.donors or one.other for one in portraits):
            raise CodesError(
                "portraits that show pixels of several photos do not stack: edit the batch instead"
            )
        return Portrait(
            Codes.stack([one.codes for one in portraits]),
            Source.stack([one.base for one in portraits]),
            tuple(frame for one in portraits for frame in one.frames),
            warnings=tuple(dict.fromkeys(text for one in portraits for text in one.warnings)),
        )

    def to(self, device: str | torch.device) -> Portrait:
        """Moves every tensor to a device."""

        def move(value: Codes | Tensor) -> Codes | Tensor:
            return value.to(device)

        return changed(
            self,
            codes=self.codes.to(device),
            base=self.base.map(move),
            donors={name: donor.map(move) for name, donor in self.donors.items()},
            other=self.other and (self.other[0].to(device), self.other[1]),
        )

    # -- editing ------------------------------------------------------------------------------------

    def swap(
        self,
        donor: Portrait | Codes,
        attributes: str | Iterable[str | Attribute] | Mapping[str | Attribute, float],
        strength: float = 1.0,
    ) -> Portrait:
        """Takes some attributes from a donor, see ``Codes.swap``.

        A donor with a photo also gives the pixels of its hair, and of its mouth with its expression.
        """
        strengths = parse_strengths(attributes, strength)
        codes = self.codes.swap(codes_of(donor), strengths)
        if not any(strengths.values()):
            return changed(self, codes=codes)
        donors, shares = dict(self.donors), dict(self.shares)
        for name in PIXELS:
            if strengths.get(name, 0.0) == 0.0:
                continue
            donors.pop(name, None)
            if isinstance(donor, Portrait):
                donors[name] = donor.donors.get(name, donor.base)
            shares[name] = min(strengths[name], 1.0)
        return self._with(codes, donors, shares)

    def mix(self, **donors: Portrait | Codes) -> Portrait:
        """Takes each named attribute from its own donor: ``base.mix(hair=ben, illumination=cara)``."""
        result = self
        for name, donor in donors.items():
            result = result.swap(donor, [name])
        return result

    def replace(self, **codes: Tensor) -> Portrait:
        """A copy with some codes replaced; pixels stay those of the same photos."""
        return self._with(self.codes.replace(**codes), dict(self.donors), dict(self.shares))

    def interpolate(self, other: Portrait | Codes, amount: float) -> Portrait:
        """All seven codes between this face (``amount`` 0) and another (1).

        Between two portraits the pixels of both photos fade into each other; towards codes alone the photo's
        pixels stay.
        """
        codes = self.codes.interpolate(codes_of(other), amount)
        result = self._with(codes, dict(self.donors), dict(self.shares))
        if isinstance(other, Portrait):
            return changed(result, other=(changed(other, codes=codes, other=None), amount))
        return result

    def _with(self, codes: Codes, donors: dict[str, Source], shares: dict[str, float]) -> Portrait:
        """Other codes; one face grows to their batch."""
        count = len(codes.batch())
        result = changed(self, codes=codes, donors=donors, shares=shares)
        if len(self.frames) == count:
            return result
        if len(self.frames) != 1:
            raise CodesError(f"{len(self.frames)} portraits do not fit {count} faces")
        return changed(result, base=self.base.expand(count), frames=self.frames * count)

    @property
    def regrown(self) -> Tensor:
        """How much of the photo's own hair is replaced, ``Tensor[B, 1, 1, 1]`` in 0..1."""
        if "hair" in self.shares:
            like = self.codes.batch().hair
            return like.new_full((len(like), 1, 1, 1), self.shares["hair"])
        distance = (self.codes.batch().hair - self.base.codes.hair).norm(dim=-1)
        low, high = OTHER_HAIR
        return ((distance - low) / (high - low)).clamp(0, 1).view(-1, 1, 1, 1)

    @property
    def recoloured(self) -> bool:
        """Whether texture or light differ from the photo's."""
        return self._differs(COLOURS)

    @property
    def moved(self) -> bool:
        """Whether anything but colours differs from the photo."""
        fading = self.other is not None and self.other[1] > 0
        return fading or bool(self.donors) or self._differs(set(ATTRIBUTES) - set(COLOURS))

    @property
    def untouched(self) -> bool:
        """Whether it shows the photo as it is."""
        return not self.moved and not self.recoloured

    def _differs(self, names: Iterable[str]) -> bool:
        now = self.codes.batch()
        return any(not torch.equal(getattr(now, name), getattr(self.base.codes, name)) for name in names)


def codes_of(face: Portrait | Codes) -> Codes:
    """The codes of a portrait, or codes themselves."""
    return face.codes if isinstance(face, Portrait) else face
