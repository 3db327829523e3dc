"""The codes of a face: seven tensors that are swapped, mixed, blended and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from facesep import checks
from facesep.attributes import ATTRIBUTES, CODE_LENGTH, CODE_SIZES, TRAITS, Attribute
from facesep.camera import euler_angles, rotation_matrix, slerp_rotation
from facesep.checks import number, shown
from facesep.errors import CodesError
from facesep.files import complete

FORMAT = "facesep-codes-1"
SUFFIX = ".safetensors"
"""What names of codes files end in."""
ALL = "all"
"""In place of names of attributes: all seven."""
MOST_STRENGTH = 1.5
"""Largest strength of a transfer."""


def parse_attributes(names: str | Attribute | Iterable[str | Attribute]) -> list[str]:
    """Checks names of attributes and returns them in the standard order.

    Args:
        names: one name, a comma-separated string, or any iterable of names; ``all`` means all seven.

    Raises:
        CodesError: for an unknown name or an empty selection.
    """
    if isinstance(names, str) and not isinstance(names, Attribute):
        names = [part.strip() for part in names.split(",")]
    elif isinstance(names, Attribute) or not isinstance(names, Iterable):
        names = [names]
    chosen = {str(name).lower() for name in names}
    if chosen == {ALL} and not isinstance(names, Mapping):  # keywords are names
        return list(ATTRIBUTES)
    unknown = sorted(chosen - set(ATTRIBUTES))
    if unknown or not chosen:
        problem = f"unknown attribute {', '.join(map(repr, unknown))}" if unknown else "no attribute given"
        raise CodesError(f"{problem}: choose from {', '.join(ATTRIBUTES)}")
    return [name for name in ATTRIBUTES if name in chosen]


def parse_strengths(
    attributes: str | Attribute | Iterable[str | Attribute] | Mapping[str | Attribute, float],
    strength: float = 1.0,
) -> dict[str, float]:
    """The strength of each attribute.

    Args:
        attributes: names, as for ``parse_attributes``, or a strength for each.
        strength: that of plain names, 0 to 1.5.

    Raises:
        CodesError: for unknown attributes, one that is given twice, a strength out of range, or two sorts of
            strengths.
    """
    strength = number(strength, "strength", 0, MOST_STRENGTH, CodesError)
    if not isinstance(attributes, Mapping):
        return dict.fromkeys(parse_attributes(attributes), strength)
    if strength != 1.0:
        raise CodesError("the attributes have strengths of their own already: leave strength out")
    strengths: dict[str, float] = {}
    for given, value in attributes.items():
        for name in parse_attributes(given):
            if name in strengths:
                raise CodesError(f"{name} is given twice: choose one strength for it")
            strengths[name] = number(value, f"the strength of {name}", 0, MOST_STRENGTH, CodesError)
    parse_attributes(strengths)  # at least one
    return strengths


@dataclass(frozen=True, eq=False)
class Codes:
    """Seven codes of one face (each ``Tensor[n]``) or of a batch (each ``Tensor[B, n]``).

    ``shape`` has length ``sqrt(512)``; ``rotation`` is (pitch, yaw, roll) in radians and
    ``translation`` is in decimetres, see ``facesep.camera``. The shape code identifies a person:
    treat it as biometric data.
    """

    shape: Tensor
    expression: Tensor
    texture: Tensor
    illumination: Tensor
    hair: Tensor
    rotation: Tensor
    translation: Tensor

    def __post_init__(self) -> None:
        lead = None
        for name, size in CODE_SIZES.items():
            code = getattr(self, name)
            if not isinstance(code, Tensor) or code.ndim not in (1, 2) or code.shape[-1] != size:
                got = tuple(code.shape) if isinstance(code, Tensor) else type(code).__name__
                raise CodesError(f"{name} must be a tensor of shape [{size}] or [B, {size}], got {got}")
            if not code.is_floating_point():
                raise CodesError(f"{name} must hold floats, got {code.dtype}")
            if lead is None:
                lead = code.shape[:-1]
            elif code.shape[:-1] != lead:
                raise CodesError(f"{name} has batch shape {tuple(code.shape[:-1])}, shape has {tuple(lead)}")

    def __repr__(self) -> str:
        """Without the numbers, which identify a person wherever they are printed."""
        return f"Codes({f'{len(self)} faces' if self.batched else 'one face'}, {self.shape.dtype})"

    # -- containers ---------------------------------------------------------------------------------

    @property
    def batched(self) -> bool:
        """Whether the codes have a batch dimension."""
        return self.shape.ndim == 2

    def __len__(self) -> int:
        if not self.batched:
            raise CodesError("these are the codes of one face; call .batch() for a batch of one")
        return self.shape.shape[0]

    def __getitem__(self, index: int | slice | Tensor | Sequence[int]) -> Codes:
        count = len(self)
        try:
            if isinstance(index, list | tuple):
                index = torch.tensor(index, device=self.shape.device)
            return self._map(lambda code: code[index])
        except (IndexError, TypeError, ValueError, RuntimeError) as error:
            raise CodesError(f"cannot take {shown(index)} of {count} faces, counted from 0") from error

    def __iter__(self) -> Iterator[Codes]:
        return (self[i] for i in range(len(self)))

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Yields ``(name, code)`` in the standard order."""
        return ((name, getattr(self, name)) for name in ATTRIBUTES)

    def batch(self) -> Codes:
        """These codes with a batch dimension (no copy)."""
        return self if self.batched else self._map(lambda code: code[None])

    @staticmethod
    def stack(codes: Sequence[Codes]) -> Codes:
        """Joins codes of single faces or of batches into one batch."""
        if not isinstance(codes, Sequence | Codes) or not len(codes):
            raise CodesError("nothing to stack: give a list of at least one Codes")
        parts = [as_codes(one).batch() for one in codes]
        try:
            return Codes(**{name: torch.cat([getattr(p, name) for p in parts]) for name in ATTRIBUTES})
        except RuntimeError as error:
            raise CodesError("codes on different devices do not fit together: move them first") from error

    def vector(self) -> Tensor:
        """All codes concatenated: ``Tensor[705]`` or ``Tensor[B, 705]``."""
        return torch.cat([code for _, code in self.items()], dim=-1)

    @staticmethod
    def from_vector(vector: Tensor) -> Codes:
        """The inverse of ``vector``."""
        if not isinstance(vector, Tensor) or vector.ndim not in (1, 2) or vector.shape[-1] != CODE_LENGTH:
            got = list(vector.shape) if isinstance(vector, Tensor) else shown(vector)
            raise CodesError(f"a code vector is a tensor [{CODE_LENGTH}] or [B, {CODE_LENGTH}], got {got}")
        return Codes(**dict(zip(ATTRIBUTES, vector.split(list(CODE_SIZES.values()), dim=-1), strict=True)))

    def to(self, *args: Any, **kwargs: Any) -> Codes:
        """Moves every code like ``torch.Tensor.to``.

        Raises:
            CodesError: for a device that is not there or a type that is not a float.
        """
        try:
            return self._map(lambda code: code.to(*args, **kwargs))
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise CodesError(f"cannot move the codes: {str(error).splitlines()[0]}") from error

    def detach(self) -> Codes:
        """The codes without their autograd history."""
        return self._map(lambda code: code.detach())

    def replace(self, **codes: Tensor) -> Codes:
        """A copy with some codes replaced."""
        parse_attributes(codes)
        return Codes(**{name: codes.get(name, code) for name, code in self.items()})

    def _map(self, function: Callable[[Tensor], Tensor]) -> Codes:
        return Codes(**{field.name: function(getattr(self, field.name)) for field in fields(self)})

    # -- editing ------------------------------------------------------------------------------------

    def swap(
        self,
        donor: Codes,
        attributes: str | Iterable[str | Attribute] | Mapping[str | Attribute, float],
        strength: float = 1.0,
    ) -> Codes:
        """Takes some attributes from a donor.

        Args:
            donor: where the attributes come from; one face, or a batch as long as this one.
            attributes: names of attributes, or a strength for each: ``{"hair": 0.5, "texture": 1}``.
            strength: 0 keeps this face, 1 takes the donor's code, above 1 exaggerates (0 to 1.5).

        Raises:
            CodesError: for unknown attributes, a strength out of range or batches that do not fit.
        """
        strengths = parse_strengths(attributes, strength)
        base, donor = _broadcast(self, donor)
        return base.replace(
            **{
                name: _blend(name, getattr(base, name), getattr(donor, name), value)
                for name, value in strengths.items()
            }
        )

    def mix(self, **donors: Codes) -> Codes:
        """Takes each named attribute from its own donor: ``base.mix(hair=ben, illumination=cara)``."""
        if donors:
            parse_attributes(donors)
        result = self
        for name, donor in donors.items():
            result = result.swap(donor, [name])
        return result

    def interpolate(self, other: Codes, amount: float) -> Codes:
        """All seven codes between this face (``amount`` 0) and another (1)."""
        return self.swap(other, ATTRIBUTES, number(amount, "amount", 0, 1, CodesError))

    # -- files --------------------------------------------------------------------------------------

    def save(self, path: str | Path, *, include_identity: bool = False) -> None:
        """Writes the codes to a ``.safetensors`` file.

        Args:
            path: the file to write; it appears when it is complete.
            include_identity: must be True, because the shape code identifies the person.

        Raises:
            CodesError: if ``include_identity`` is not True, codes are not finite, or the file cannot be
                written or has another suffix.
        """
        if include_identity is not True:
            raise CodesError(
                "the shape code identifies a person (biometric data): "
                "pass include_identity=True if you may keep it"
            )
        path = checks.path(path, "path", CodesError)
        if path.suffix.lower() != SUFFIX:
            raise CodesError(f"codes are written as {SUFFIX}, not {path.name!r}")
        tensors = {name: code.detach().float().cpu().contiguous().clone() for name, code in self.items()}
        _check_values(tensors, "these codes")
        try:
            with complete(path, CodesError) as part:
                save_file(tensors, str(part), metadata={"format": FORMAT, "sha256": _checksum(tensors)})
        except (OSError, SafetensorError) as error:
            raise CodesError(f"cannot write codes to {path}: {error}") from error

    @staticmethod
    def load(path: str | Path) -> Codes:
        """Reads codes written by ``save``.

        Raises:
            CodesError: if the file is missing, damaged or holds something else.
        """
        path = checks.path(path, "path", CodesError)
        try:
            with safe_open(str(path), framework="pt") as file:
                about = file.metadata() or {}
                if about.get("format") != FORMAT:
                    raise CodesError(f"{path} was not written by Codes.save")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise CodesError(f"cannot read codes from {path}: {error}") from error
        if set(tensors) != set(ATTRIBUTES):
            raise CodesError(f"{path} holds {sorted(tensors)}, expected {list(ATTRIBUTES)}")
        _check_values(tensors, str(path))
        if about.get("sha256", _checksum(tensors)) != _checksum(tensors):
            raise CodesError(f"{path} is damaged (its checksum is wrong): encode the photo again")
        return Codes(**tensors)


def is_codes_file(source: object) -> TypeGuard[str | Path]:
    """Whether a path names a codes file rather than a photo."""
    return isinstance(source, str | Path) and Path(source).suffix.lower() == SUFFIX


def as_codes(value: object) -> Codes:
    """The value itself, if it is codes.

    Raises:
        CodesError: for anything else.
    """
    if not isinstance(value, Codes):
        raise CodesError(f"expected Codes, got {shown(value)}: call encode(photo) first")
    return value


def _check_values(tensors: Mapping[str, Tensor], where: str) -> None:
    for name, code in tensors.items():
        if not code.is_floating_point() or not torch.isfinite(code).all():
            raise CodesError(f"{name} in {where} holds values that are not finite floats")
        if code.shape[0] == 0:
            raise CodesError(f"there is no face in {where}")


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and bytes of the codes."""
    digest = hashlib.sha256()
    for name in ATTRIBUTES:
        digest.update(f"{name}{list(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _broadcast(a: Codes, b: Codes) -> tuple[Codes, Codes]:
    """Expands a single face to the other's batch; batches must have one length."""
    b = as_codes(b)
    if a.batched and b.batched and len(a) != len(b) and 1 not in (len(a), len(b)):
        raise CodesError(f"batches of {len(a)} and {len(b)} faces do not fit together")
    if a.batched == b.batched and (not a.batched or len(a) == len(b)):
        return a, b
    size = max(len(c) for c in (a, b) if c.batched)

    def grown(codes: Codes) -> Codes:
        return codes.batch()._map(lambda code: code.expand(size, -1))

    return grown(a), grown(b)


def _blend(name: str, a: Tensor, b: Tensor, amount: float) -> Tensor:
    """Blends two codes of an attribute along the path that suits its geometry."""
    if amount == 0.0:
        return a
    if amount == 1.0:
        return b
    blending = TRAITS[name].blending
    if blending == "turn":
        return euler_angles(slerp_rotation(rotation_matrix(a), rotation_matrix(b), amount))
    blended = a + (b - a) * amount
    if blending == "sphere":  # keep the length
        length = a.norm(dim=-1, keepdim=True) * (1 - amount) + b.norm(dim=-1, keepdim=True) * amount
        blended = blended / blended.norm(dim=-1, keepdim=True).clamp_min(1e-8) * length
    return blended
