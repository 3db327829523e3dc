"""A small model and the example photos for the demo's tests."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from facesep import FaceSep
from facesep.config import preset
from facesep.demo.examples import FOLDER


@pytest.fixture(scope="session")
def sep() -> FaceSep:
    """Random weights: enough to tell one face from another."""
    torch.manual_seed(0)
    return FaceSep(preset("tiny"))


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    """The bundled example photos."""
    return sorted(FOLDER.glob("*.jpg"))


@pytest.fixture(scope="session")
def group(photos) -> bytes:
    """A photo of two people."""
    sheet = Image.new("RGB", (1024, 512), "white")
    for index, path in enumerate(photos[:2]):
        sheet.paste(Image.open(path), (512 * index, 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
