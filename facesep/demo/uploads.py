"""Files that visitors send: found, read once, deleted at once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facesep.errors import ImageError
from facesep.images import read_bytes


def take(payload: Mapping[str, Any] | None, root: str | Path) -> bytes:
    """Reads an uploaded file and deletes it.

    Args:
        payload: what gradio passes for a file without preprocessing; its ``path`` counts.
        root: gradio's folder of uploads; nothing else is read or deleted.

    Returns:
        The bytes of the file.

    Raises:
        ImageError: if there is no file, or it lies elsewhere, or it is gone.
    """
    name = payload.get("path") if isinstance(payload, Mapping) else None
    if not isinstance(name, str) or not name or "\0" in name:
        raise ImageError("a photo is missing: upload one first")
    path = Path(name).resolve()
    if not path.is_relative_to(Path(root).resolve()):
        raise ImageError("the photo did not arrive as an upload: send it as a file")
    if not path.is_file():
        raise ImageError("the photo is no longer on this server: upload it again")
    try:
        return read_bytes(path)
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            path.parent.rmdir()  # the upload's own folder; stays if something else is in it
