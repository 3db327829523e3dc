"""Networks as files in the ONNX format."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from facesep.backends.parts import Part

OPSET = 18


def write(part: Part, folder: Path) -> Path:
    """Writes a part as ``<name>.onnx``, one file with its weights."""
    path = folder / f"{part.name}.onnx"
    part.module.eval()
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            part.module,
            tuple(part.inputs.values()),
            path,
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return path


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's remarks about itself off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
