"""Graphs computed by ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from facesep.backends import exporter
from facesep.backends.parts import Part


class OnnxGraph:
    """A graph in a session of ONNX Runtime.

    Args:
        path: the ``.onnx`` file.
        part: gives the names of the inputs.
    """

    def __init__(self, path: Path, part: Part) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # Waiting threads that spin would take the cores from torch, which works between two calls.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.given = list(part.inputs)
        # A bias that the network does not have is not an input of its graph either.
        self.names = [one.name for one in self.session.get_inputs()]

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """Computes the outputs."""
        given = dict(zip(self.given, inputs, strict=True))
        arrays = {name: given[name].detach().float().contiguous().numpy() for name in self.names}
        return [torch.from_numpy(array) for array in self.session.run(None, arrays)]


def compiler() -> Callable[[Part], OnnxGraph]:
    """What makes sessions with as many threads as torch has."""

    def compile(part: Part) -> OnnxGraph:
        with tempfile.TemporaryDirectory(prefix="facesep-") as folder:
            return OnnxGraph(exporter.write(part, Path(folder)), part)

    return compile


def write(part: Part, folder: Path) -> list[Path]:
    """Writes a part as ``<name>.onnx``."""
    return [exporter.write(part, folder)]
