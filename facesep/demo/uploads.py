"""Files that visitors send: found, read once, deleted at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facesep.errors import ImageError
from facesep.images import read_bytes


def take(root: str | Path, *payloads: Mapping[str, Any] | None) -> list[bytes]:
    """Reads the uploaded files of one request and deletes them.

    Gradio stores equal files once: they may be given twice, and somebody else's equal upload goes, too.

    Args:
        root: gradio's folder of uploads; nothing else is read or deleted.
        payloads: what gradio passes for files without preprocessing; their ``path`` counts.

    Returns:
        The bytes of each file.

    Raises:
        ImageError: if a file is missing, lies elsewhere, is gone, empty or too large.
    """
    paths = [_path(payload, root) for payload in payloads]
    try:
        return [read_bytes(path) for path in paths]
    finally:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                if path.parent != Path(root).resolve():
                    path.parent.rmdir()  # the upload's own folder; stays if something else is in it


def suffix_of(payload: Mapping[str, Any] | None) -> str:
    """The suffix of an uploaded file's name, such as ``.mp4``; empty if it has none that is plain."""
    name = payload.get("path") if isinstance(payload, Mapping) else None
    suffix = Path(name).suffix.lower() if isinstance(name, str) else ""
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ""


def _path(payload: Mapping[str, Any] | None, root: str | Path) -> Path:
    name = payload.get("path") if isinstance(payload, Mapping) else None
    if not isinstance(name, str) or not name or "\0" in name:
        raise ImageError("a photo is missing: upload one first")
    path = Path(name).resolve()
    if not path.is_relative_to(Path(root).resolve()):
        raise ImageError("the photo did not arrive as an upload: send it as a file")
    if not path.is_file():
        raise ImageError("the photo is no longer on this server: upload it again")
    return path
