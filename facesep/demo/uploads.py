"""Files that visitors send: found, read once, deleted at once.

Gradio stores equal files once, under the hash of their bytes. A file therefore goes when everybody who sent
it has had theirs read: ``Arrivals`` counts uploads as they come in.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from facesep.demo.limits import KEEP_SECONDS
from facesep.demo.middleware import Around, Message, Receive, Send
from facesep.errors import ImageError
from facesep.images import read_bytes


class _Waiting:
    """Uploads that nobody has read yet, of all pages of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._times: dict[Path, list[float]] = {}
        self._arriving = 0
        self._spent: set[Path] = set()

    def begin(self) -> None:
        """An upload comes in: its file may lie here already, so nothing is deleted until it is counted."""
        with self._lock:
            self._arriving += 1

    def end(self, paths: list[Path]) -> None:
        """It has come in as these files; those that nobody read for long are gradio's to delete."""
        with self._lock:
            self._arriving -= 1
            now = self._clock()
            for path, times in list(self._times.items()):
                self._times[path] = [one for one in times if now - one < KEEP_SECONDS]
                if not self._times[path]:
                    del self._times[path]
            for path in paths:
                self._times.setdefault(path, []).append(now)
            if not self._arriving:
                for path in self._spent - self._times.keys():
                    _delete(path)
                self._spent.clear()

    def release(self, path: Path) -> None:
        """One of those who sent the file has been served."""
        with self._lock:
            if len(times := self._times.pop(path, [])) > 1:
                self._times[path] = times[1:]
            else:
                self._drop(path)

    def release_copy(self, path: Path) -> None:
        """Deletes a file that nobody sent as it is, unless somebody did send the same under this name."""
        with self._lock:
            if path not in self._times:
                self._drop(path)

    def _drop(self, path: Path) -> None:
        if self._arriving:
            self._spent.add(path)
        else:
            _delete(path)


_WAITING = _Waiting()


class Arrivals(Around):
    """ASGI middleware that counts uploads before the sender learns where they lie."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes everything on, and looks at the answers to uploads."""
        upload = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/upload")
        if not upload:
            await self.app(scope, receive, send)
            return
        body, counted = bytearray(), False
        _WAITING.begin()

        async def watched(message: Message) -> None:
            nonlocal counted
            if message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body") and not counted:
                    counted = True
                    _WAITING.end(_paths(bytes(body)))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            if not counted:
                _WAITING.end([])


def _paths(answer: bytes) -> list[Path]:
    """The files that gradio's answer to an upload names."""
    try:
        names = json.loads(answer)
    except ValueError:  # an error in words
        return []
    given = names if isinstance(names, list) else []
    return [Path(name).resolve() for name in given if isinstance(name, str)]


def _delete(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()  # the upload's own folder; stays if something else is in it


class Upload(bytes):
    """The bytes of an uploaded file.

    Attributes:
        suffix: of its name, such as ``.mp4``; empty if it has none that is plain.
    """

    suffix: str = ""


def take(root: str | Path, *payloads: Mapping[str, Any] | None) -> list[Upload]:
    """Reads the uploaded files of one request and deletes them.

    The same file may be given twice. It stays as long as somebody else's equal upload has not been read.

    Args:
        root: gradio's folder of uploads; nothing else is read or deleted.
        payloads: what gradio passes for files without preprocessing; their ``path`` counts.

    Returns:
        The files.

    Raises:
        ImageError: if a file is missing, lies elsewhere, is gone, empty or too large.
    """
    paths = [_path(payload, root) for payload in payloads]
    try:
        found = [Upload(read_bytes(path)) for path in paths]
    finally:
        for path in paths:
            _WAITING.release(path)
    for upload, path in zip(found, paths, strict=True):
        suffix = path.suffix.lower()
        upload.suffix = suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ""
    # What comes inside an MCP call is written by gradio to a file of its own, which it then uploads.
    for folder in Path(root).resolve().iterdir():
        with contextlib.suppress(OSError):  # of another visit, which deletes it just now
            for copy in folder.glob("file.*"):
                if any(copy.stat().st_size == len(data) and copy.read_bytes() == data for data in found):
                    _WAITING.release_copy(copy)
    return found


def _path(payload: Mapping[str, Any] | None, root: str | Path) -> Path:
    given = payload if isinstance(payload, Mapping) else {}
    name = given.get("path") or given.get("url")
    if not isinstance(name, str) or not name or "\0" in name:
        raise ImageError("a photo is missing: upload one first")
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", name):
        raise ImageError("this page fetches nothing from web addresses: download the file and send it")
    path = Path(name).resolve()
    if not path.is_relative_to(Path(root).resolve()):
        raise ImageError("the photo did not arrive as an upload: send it as a file")
    if not path.is_file():
        raise ImageError("the photo is no longer on this server: upload it again")
    return path
