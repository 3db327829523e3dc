"""Files that appear under their name when they are complete."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facesep.errors import FaceSepError


@contextmanager
def complete(path: Path, error: type[FaceSepError]) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to, which takes its place at the end of the block.

    An existing file stays as it is until then. Nothing is left behind when the block fails.

    Raises:
        FaceSepError: of the kind ``error``, if it cannot take that place.
    """
    temporary = path.with_name(f".facesep-{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        try:
            os.replace(temporary, path)
        except OSError as reason:
            raise error(f"cannot write {path} ({reason.strerror}): choose another place") from reason
    finally:
        temporary.unlink(missing_ok=True)
