"""Forms of computing one model: the reference, ours in several number formats, and other runtimes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from facesep.backends import PACKAGES, attach, choose, missing
from facesep.camera import orbit_path
from facesep.codes import CODE_LENGTH, Codes
from facesep.config import ModelConfig, preset
from facesep.errors import ConfigError
from facesep.evaluation.reference import ReferenceDecoder, encode
from facesep.model import FaceSep

REFERENCE = "reference"
FORMS: dict[str, tuple[str, torch.dtype]] = {
    REFERENCE: ("torch", torch.float32),
    "float32": ("torch", torch.float32),
    "bfloat16": ("torch", torch.bfloat16),
    "openvino float32": ("openvino", torch.float32),
    "openvino bfloat16": ("openvino", torch.bfloat16),
    "onnx float32": ("onnx", torch.float32),
    "graphs float32": ("graphs", torch.float32),
    "graphs bfloat16": ("graphs", torch.bfloat16),
}
"""Backend and number format of each form. The reference is ``facesep.evaluation.reference``."""


@dataclass(frozen=True)
class Form:
    """One way of computing a model.

    Attributes:
        name: a key of ``FORMS``.
        sep: the model in this form; for the reference form the model that gives the weights.
        encode: canonical images ``Tensor[B, 3, S, S]`` to codes.
        render: codes to images ``Tensor[B, 3, S, S]``.
    """

    name: str
    sep: FaceSep
    encode: Callable[[Tensor], Codes]
    render: Callable[[Codes], Tensor]

    def orbit(self, codes: Codes, frames: int) -> list[Tensor]:
        """Images of a turning head, one after the other."""
        path = orbit_path(frames).to(codes.rotation.device)
        return [self.render(codes.replace(rotation=turn[None])) for turn in path]


def random_model(config: ModelConfig, device: str | torch.device = "cpu") -> FaceSep:
    """A model of random weights whose images are not flat, which would hide errors."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sep = FaceSep(config)
    for parameter in sep.decoder.upsampler.parameters():
        parameter.mul_(2)
    return sep.to(device)


def random_codes(count: int) -> Codes:
    """Codes of heads that look roughly at the camera."""
    vector = torch.randn(count, CODE_LENGTH, generator=torch.Generator().manual_seed(1)) * 0.3
    vector[:, -6:] *= 0.2
    return Codes.from_vector(vector)


def sized(name: str, size: int | None = None) -> ModelConfig:
    """A preset for images of ``size`` pixels, by default its own."""
    return changed(preset(name), **({} if size is None else {"image_size": size}))


def changed(config: ModelConfig, **decoder: Any) -> ModelConfig:
    """A configuration with other values in its decoder."""
    return dataclasses.replace(config, decoder=dataclasses.replace(config.decoder, **decoder))


def usable(device: str) -> list[str]:
    """Forms that can be computed here."""
    kinds = {"cpu": {"torch", *(name for name in PACKAGES if not missing(name))}, "cuda": {"torch", "graphs"}}
    backends = kinds.get(torch.device(device).type, {"torch"})
    return [name for name, (backend, _) in FORMS.items() if backend in backends]


def build(sep: FaceSep, names: Sequence[str]) -> list[Form]:
    """The forms of a model in float32.

    Raises:
        ConfigError: for an unknown name, or if its backend is not installed or not for this device.
    """
    found = []
    for name in names:
        if name not in FORMS:
            raise ConfigError(f"unknown form {name!r}: choose from {', '.join(FORMS)}")
        if name == REFERENCE:
            decoder = ReferenceDecoder(sep.decoder)
            found.append(Form(name, sep, lambda x: encode(sep.encoder, x), lambda c, d=decoder: d(c).image))
            continue
        one = computed_by(sep, *FORMS[name])
        found.append(Form(name, one, one.encoder, lambda c, d=one.decoder: _each(d, c)))
    return found


def computed_by(sep: FaceSep, backend: str, dtype: torch.dtype) -> FaceSep:
    """A copy of a model that a backend computes; the model itself for torch in float32."""
    backend = choose(backend, sep.device, dtype)
    if (backend, dtype) == ("torch", torch.float32):
        return sep
    one = copy.deepcopy(sep).to(dtype=torch.float32 if backend in PACKAGES else dtype)
    attach(one, backend, dtype)
    one.backend = backend
    return one


def _each(decoder: Callable[..., Any], codes: Codes) -> Tensor:
    """Face by face on a CPU, as ``FaceSep.render`` does; all at once on a GPU."""
    if codes.rotation.is_cuda:
        return decoder(codes).image
    return torch.cat([decoder(codes[i : i + 1]).image for i in range(len(codes))])
