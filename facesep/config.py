"""Model configurations: frozen dataclasses, strict JSON, and the presets "paper", "mini", "small", "tiny"."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from facesep.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True)
class DecoderConfig:
    """The HeadNeRF-style decoder (design: field, volume rendering, 2D upsampler).

    Attributes:
        image_size: side of the rendered image in pixels.
        ray_size: rays along each side of the feature map; ``image_size / ray_size`` is a power of two.
        samples: samples on a ray.
        sampling: where they lie: ``depth`` between two distances from the camera, ``volume`` between the
            ray's entry into and exit from the head ellipsoid, ``planes`` on the planes of HeadNeRF.
        near: first distance for ``depth`` in decimetres, first plane (z) for ``planes``.
        far: last distance for ``depth``, last plane for ``planes``.
        volume_centre: centre of the head ellipsoid in the head frame, decimetres.
        volume_radii: its half axes, decimetres.
        width: channels of the field.
        layers: hidden layers of the field.
        skip: the layer that reads the encoded point and the geometry codes again; 0 for none.
        colour_width: hidden channels of the colour branch.
        features: channels of the feature map.
        frequencies: octaves of the positional encoding.
        density: activation of the density.
        density_bias: initial bias of the density; below zero the head starts thin.
        min_channels: least channels of an upsampler level.
        hair: whether the hair code enters the geometry branch (off only for ablation).
        modulated: whether codes also scale and shift every layer of the field; not in HeadNeRF.
    """

    image_size: int = 1024
    ray_size: int = 32
    samples: int = 64
    sampling: Literal["depth", "volume", "planes"] = "depth"
    near: float = 8.0
    far: float = 12.0
    volume_centre: tuple[float, float, float] = (0.0, 0.1, -0.3)
    volume_radii: tuple[float, float, float] = (1.25, 1.6, 1.1)
    width: int = 384
    layers: int = 8
    skip: int = 5
    colour_width: int = 192
    features: int = 256
    frequencies: int = 10
    density: Literal["relu", "softplus"] = "relu"
    density_bias: float = 0.0
    min_channels: int = 32
    hair: bool = True
    modulated: bool = False

    def __post_init__(self) -> None:
        for name in ("ray_size", "samples", "width", "layers", "colour_width", "features", "min_channels"):
            _positive(self, name)
        ratio, rest = divmod(self.image_size, self.ray_size)
        if rest or ratio < 2 or ratio & (ratio - 1):
            raise ConfigError(
                f"image_size {self.image_size} must be ray_size {self.ray_size} times 2, 4, 8, ..."
            )
        if self.features % 2 ** (self.levels - 1) and self.features // 2 ** (self.levels - 1) > 0:
            raise ConfigError(f"features {self.features} cannot be halved {self.levels - 1} times")
        if not 0 <= self.skip < self.layers:
            raise ConfigError(f"skip must be a layer from 0 to {self.layers - 1}, got {self.skip}")
        if min(self.volume_radii) <= 0:
            raise ConfigError("volume_radii must be positive")

    @property
    def levels(self) -> int:
        """Upsampler levels, each doubling the size."""
        return (self.image_size // self.ray_size).bit_length() - 1


@dataclass(frozen=True)
class EncoderConfig:
    """The seven heads.

    Attributes:
        kind: ``light`` (small convolutional heads that read the image alone) or ``paper`` (IR-50, five
            R-Nets and a mask encoder).
        input_size: side in pixels at which a light head sees its window of the canonical image.
        widths: channels of a light head's stages; each stage halves the size.
        stem: by how much the first stage divides the size instead, 2 or 4.
        blocks: residual blocks of each stage.
        recognition: trunk of the paper's shape head.
        width: channels of the first stage of the paper's trunks; less than 64 only for tests.
        parser: what finds the hair for the paper's hair head; with ``none`` the model renders and edits
            but cannot encode hair.
        skin: whether what the texture code knows of the light code is taken out of it (light heads alone;
            see ``facesep.training.skin``).
    """

    kind: Literal["light", "paper"] = "paper"
    input_size: int = 64
    widths: tuple[int, ...] = (24, 48, 96, 160)
    blocks: tuple[int, ...] = (0, 1, 2, 1)
    stem: Literal[2, 4] = 2
    recognition: Literal["ir18", "ir50", "ir101"] = "ir50"
    width: int = 64
    parser: Literal["bisenet", "none"] = "bisenet"
    skin: bool = False

    def __post_init__(self) -> None:
        _positive(self, "input_size")
        _positive(self, "width")
        if len(self.widths) != len(self.blocks) or not self.widths:
            raise ConfigError("widths and blocks must have one entry per stage")
        if self.skin and self.kind != "light":
            raise ConfigError("skin is taken out of the light of light heads alone, not of the paper's")
        if self.input_size % self.reduction:
            raise ConfigError(
                f"input_size {self.input_size} must be divisible by {self.reduction} for "
                f"{len(self.widths)} stages with stem {self.stem}"
            )

    @property
    def reduction(self) -> int:
        """By how much the stages of a light head divide the size."""
        return self.stem * 2 ** (len(self.widths) - 1)


@dataclass(frozen=True)
class ModelConfig:
    """A whole model; written to ``config.json`` of a checkpoint."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass config as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(kind: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """Builds a dataclass config from JSON values, strictly.

    Args:
        kind: the dataclass.
        values: its fields; fields that are left out keep their defaults.
        where: how errors name this place.

    Raises:
        ConfigError: for unknown keys, wrong types and values that do not fit together.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be an object, got {type(values).__name__}")
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{where} has unknown keys {unknown}; known are {sorted(known)}")
    return kind(**{name: _coerce(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _coerce(hint: Any, value: Any, where: str) -> Any:
    """Checks one JSON value against a type hint; only ints become floats and lists become tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise ConfigError(f"{where} must be one of {list(arguments)}, got {value!r}")
    if origin is tuple:
        if isinstance(value, list | tuple):
            if arguments[-1] is ...:
                return tuple(_coerce(arguments[0], v, where) for v in value)
            if len(value) == len(arguments):
                return tuple(_coerce(a, v, where) for a, v in zip(arguments, value, strict=True))
        raise ConfigError(f"{where} must be a list like {hint}, got {value!r}")
    if origin is dict:
        if isinstance(value, Mapping):
            return {
                _coerce(arguments[0], k, where): _coerce(arguments[1], v, where) for k, v in value.items()
            }
        raise ConfigError(f"{where} must be an object, got {value!r}")
    if arguments:  # X | None
        if value is None and type(None) in arguments:
            return None
        return _coerce(next(a for a in arguments if a is not type(None)), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} must be {hint.__name__}, got {value!r}")
    return value


def _positive(config: Any, name: str) -> None:
    value = getattr(config, name)
    if value <= 0:
        raise ConfigError(f"{name} must be positive, got {value}")


_SMALL = DecoderConfig(
    image_size=256,
    samples=16,
    sampling="volume",
    width=128,
    layers=6,
    skip=3,
    colour_width=128,
    features=128,
    frequencies=6,
    density="softplus",
    density_bias=-2.0,
)
PRESETS: dict[str, ModelConfig] = {
    "paper": ModelConfig(EncoderConfig(kind="paper"), DecoderConfig()),
    "mini": ModelConfig(
        EncoderConfig(kind="light", input_size=128, blocks=(1, 2, 4, 1), stem=4),
        dataclasses.replace(_SMALL, image_size=128, modulated=True),
    ),
    "small": ModelConfig(EncoderConfig(kind="light"), _SMALL),
    "tiny": ModelConfig(
        EncoderConfig(kind="light", input_size=32, widths=(8, 16, 16), blocks=(0, 1, 1)),
        dataclasses.replace(
            _SMALL,
            image_size=32,
            ray_size=8,
            samples=8,
            width=32,
            layers=3,
            skip=2,
            colour_width=16,
            features=32,
            frequencies=4,
            min_channels=8,
        ),
    ),
}
"""``paper``: the sizes of the paper. ``mini``: those of the bundled checkpoint, for two CPU cores. ``small``:
lighter heads and 256 px, to measure speed with. ``tiny``: for tests."""


def preset(name: str) -> ModelConfig:
    """A preset by name.

    Raises:
        ConfigError: for an unknown name.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise ConfigError(f"unknown preset {name!r}: choose from {', '.join(PRESETS)}") from None
