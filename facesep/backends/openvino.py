"""Graphs computed by OpenVINO.

OpenVINO's Python package reports each import and conversion to a server of its makers if it finds its
reporting package. Here it does not find it: facesep sends nothing to anybody.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from facesep.backends import exporter
from facesep.backends.parts import Part

PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVinoGraph:
    """A compiled graph; each call copies its results, so that they outlive the next one.

    Args:
        compiled: what OpenVINO made of a part.
        part: gives the names of the inputs.
    """

    def __init__(self, compiled: Any, part: Part) -> None:
        self.request = compiled.create_infer_request()
        self.given = list(part.inputs)
        # A bias that the network does not have is not an input of its graph either.
        self.names = [port.any_name for port in compiled.inputs]

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """Computes the outputs."""
        given = dict(zip(self.given, inputs, strict=True))
        arrays = {name: given[name].detach().float().contiguous().numpy() for name in self.names}
        found = self.request.infer(arrays, share_inputs=True, share_outputs=True)
        return [torch.from_numpy(found[index]).clone() for index in range(len(found))]


def quiet_openvino() -> ModuleType:
    """OpenVINO's package, imported without its reporting."""
    sys.modules.setdefault(
        "openvino_telemetry", None
    )  # its import then fails, for which OpenVINO is prepared
    import openvino

    return openvino


def converted(core: Any, part: Part) -> Any:
    """A part as a model of OpenVINO."""
    with tempfile.TemporaryDirectory(prefix="facesep-") as folder:
        model = core.read_model(exporter.write(part, Path(folder)))
        return model.clone()  # nothing of it stays in the file


def compiler(dtype: torch.dtype = torch.float32) -> Callable[[Part], OpenVinoGraph]:
    """What compiles parts for this machine's CPU, with as many threads as torch has.

    Args:
        dtype: ``float32``, or ``bfloat16`` for faster products where the processor has them.
    """
    core = quiet_openvino().Core()
    options = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False,
    }

    def compile(part: Part) -> OpenVinoGraph:
        return OpenVinoGraph(core.compile_model(converted(core, part), "CPU", options), part)

    return compile


def write(part: Part, folder: Path) -> list[Path]:
    """Writes a part as ``<name>.xml`` and ``<name>.bin``."""
    path = folder / f"{part.name}.xml"
    openvino = quiet_openvino()
    openvino.save_model(converted(openvino.Core(), part), path, compress_to_fp16=False)
    return [path, path.with_suffix(".bin")]
