"""A group photo for the demo's tests."""

from __future__ import annotations

import io

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def group(photos) -> bytes:
    """A photo of two people."""
    sheet = Image.new("RGB", (1024, 512), "white")
    for index, path in enumerate(photos[:2]):
        sheet.paste(Image.open(path), (512 * index, 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
