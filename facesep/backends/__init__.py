"""Other ways to compute the networks: OpenVINO and ONNX Runtime on a CPU, CUDA graphs on a GPU.

A backend takes the place of the networks' forward passes when gradients are switched off; cropping, rays, the
volume integral and everything else stay as they are. OpenVINO and ONNX Runtime compile the weights in.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING

import torch

from facesep import checks
from facesep.errors import ConfigError

if TYPE_CHECKING:
    from facesep.model import FaceSep

BACKENDS = ("torch", "openvino", "onnx", "graphs", "auto")
"""``torch`` computes as usual; ``graphs`` records and replays whole passes on an NVIDIA GPU; ``auto`` takes
openvino on a CPU if it is installed, and torch otherwise."""
PACKAGES = {"openvino": ("openvino", "onnx", "onnxscript"), "onnx": ("onnx", "onnxruntime", "onnxscript")}
"""What each backend needs installed."""


def missing(name: str) -> list[str]:
    """Packages of a backend that are not installed."""
    return [package for package in PACKAGES.get(name, ()) if importlib.util.find_spec(package) is None]


def require(name: str) -> None:
    """Makes sure that a backend can be used.

    Raises:
        ConfigError: for an unknown name, or if its packages are not installed.
    """
    checks.choice(name, "backend", BACKENDS)
    if lacking := missing(name):
        raise ConfigError(f"{name} needs {', '.join(lacking)}: pip install 'facesep[{name}]'")


def choose(name: str, device: str | torch.device, dtype: torch.dtype) -> str:
    """Resolves ``auto`` and checks that a backend fits the device and the number format.

    Raises:
        ConfigError: if it does not, or is not installed.
    """
    require(name)
    kind = str(device).partition(":")[0]  # a device that does not exist is refused where the model is moved
    if name == "auto":
        if kind != "cpu":
            return "torch"
        if lacking := missing("openvino"):
            warnings.warn(f"backend 'auto' computes with torch: {lacking[0]} is not installed", stacklevel=4)
            return "torch"
        name = "openvino"
    if name == "graphs" and kind != "cuda":
        raise ConfigError("backend 'graphs' computes on an NVIDIA GPU: give device='cuda', or leave it out")
    if name in PACKAGES and kind != "cpu":
        raise ConfigError(f"backend {name!r} computes on the CPU: leave the device {kind!r} out")
    if name == "openvino" and dtype not in (torch.float32, torch.bfloat16):
        raise ConfigError(f"backend 'openvino' computes in float32 or bfloat16, not in {dtype}")
    if name == "onnx" and dtype != torch.float32:
        raise ConfigError(f"backend 'onnx' computes in float32, not in {dtype}")
    return name


def attach(sep: FaceSep, name: str, dtype: torch.dtype) -> None:
    """Lets a backend compute a model's networks.

    Args:
        sep: a model on the backend's device, in float32 for ``openvino`` and ``onnx``.
        name: from ``choose``.
        dtype: what ``openvino`` computes in.
    """
    if name in PACKAGES:
        from facesep.backends.parts import install, parts

        if name == "openvino":
            from facesep.backends.openvino import compiler

            install(parts(sep), compiler(dtype))
        else:
            from facesep.backends.onnx import compiler

            install(parts(sep), compiler())
    elif name == "graphs":
        from facesep.backends.graphs import record

        record(sep)
