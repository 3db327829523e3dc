"""What the page keeps of a visit: in memory and in one folder, until the visitor leaves.

Gradio's own state lives on for an hour after a page is closed; here all of it goes at once.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facesep.demo.limits import BACKGROUNDS, KEEP_SECONDS, MAX_PHOTOS, MAX_SESSIONS, SIZES, SWEEP_SECONDS
from facesep.demo.uploads import Upload
from facesep.errors import ConfigError

_PREFIX = "facesep-"
SETTINGS = ("fit", "refine", "plain", "background", "size")
"""What a visitor can set for all tabs, as fields of ``Session``."""


@dataclass
class Session:
    """One visit.

    Attributes:
        folder: where its pictures and videos lie, under a name that cannot be guessed.
        kept: faces by the name of their place on the page.
        photos: what was read from the last photos, by a digest of their bytes.
        mapped: places of the page where a map of what changed stands beside results.
        stopped: set when what runs for this visit shall end.
        model: name of the model it chose; None as long as it chose none.
        gone: whether it was forgotten.
        used: when it was last asked for, on the clock of its ``Sessions``.
        fit: whether its photos are fitted.
        refine: whether its results are refined.
        plain: whether they are shown without the photos' pixels.
        background: what they stand on, see ``facesep.demo.actions.Look``.
        size: their side in pixels.
    """

    folder: Path
    kept: dict[str, Any] = field(default_factory=dict)
    photos: dict[str, Any] = field(default_factory=dict)
    mapped: frozenset[str] = frozenset()
    stopped: threading.Event = field(default_factory=threading.Event)
    model: str | None = None
    gone: bool = False
    used: float = 0.0
    fit: bool = False
    refine: bool = False
    plain: bool = False
    background: str = BACKGROUNDS[0]
    size: int = SIZES[0]

    def once(self, data: bytes, read: Callable[[bytes], Any], face: int | None = None) -> Any:
        """What ``read`` gives for a face of a photo; the same bytes are read once per visit."""
        digest = f"{hashlib.sha256(data).hexdigest()} {face!r}"
        found = self.photos.pop(digest, None)
        if found is None:
            found = read(data)
        self.photos[digest] = found  # at the end: it was used last
        while len(self.photos) > MAX_PHOTOS:
            del self.photos[next(iter(self.photos))]
        return found

    def new_file(self, name: str) -> Path:
        """A path that ends in ``name`` and cannot be guessed."""
        return self.new_folder() / name

    def new_folder(self) -> Path:
        """An empty folder whose name cannot be guessed."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir(parents=True)
        if self.gone:  # nothing may be written for a visitor who has left
            shutil.rmtree(self.folder, ignore_errors=True)
            raise ConfigError("this visit has ended: open the page again")
        return folder

    def write(self, name: str, data: bytes) -> Path:
        """Writes a new file; see ``new_file``."""
        path = self.new_file(name)
        path.write_bytes(data)
        return path

    @contextmanager
    def file(self, upload: Upload) -> Iterator[Path]:
        """An uploaded file for those who need a path; it is deleted at the end."""
        folder = self.new_folder()
        try:
            path = folder / f"file{upload.suffix}"
            path.write_bytes(upload)
            yield path
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class Sessions:
    """All visits of the moment.

    Args:
        root: folder of their folders.
        keep_seconds: time after the last use at which a visit is forgotten.
        capacity: most visits; beyond it the one idle for longest is forgotten.
        clock: seconds, for tests.

    Attributes:
        forgotten: called with the key of each visit that is forgotten.
    """

    def __init__(
        self,
        root: str | Path,
        keep_seconds: float = KEEP_SECONDS,
        capacity: int = MAX_SESSIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = Path(root)
        self.keep_seconds, self.capacity, self.clock = keep_seconds, capacity, clock
        self._sessions: dict[str, Session] = {}
        self._set: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.forgotten: Callable[[str], object] = lambda _: None
        self._remove_leftovers()

    def get(self, key: str | None) -> Session:
        """The visit of a key, new if there is none; a visit without a key is new each time."""
        self.sweep()
        with self._lock:
            key = key or f"anonymous {secrets.token_hex(16)}"
            if key not in self._sessions:
                while len(self._sessions) >= self.capacity:
                    self._drop(min(self._sessions, key=lambda k: self._sessions[k].used))
                self._sessions[key] = Session(self.root / f"{_PREFIX}{secrets.token_hex(16)}")
            session = self._sessions[key]
            session.used = self.clock()
            for name, value in self._set.get(key, {}).items():
                setattr(session, name, value)
            return session

    def set(self, key: str, name: str, value: Any) -> None:
        """Remembers one of a visit's settings, also while its photos are forgotten and uploaded again."""
        with self._lock:
            if len(self._set) >= 16 * self.capacity:
                self._set.clear()
            self._set.setdefault(key, {})[name] = value

    def sweep(self) -> None:
        """Forgets visits that were idle for too long."""
        with self._lock:
            now = self.clock()
            for key in [k for k, s in self._sessions.items() if now - s.used > self.keep_seconds]:
                self._drop(key)

    def sweep_always(self, every: float = SWEEP_SECONDS) -> None:
        """Starts a thread that sweeps until the process ends."""

        def run() -> None:
            while True:
                time.sleep(every)
                self.sweep()

        threading.Thread(target=run, name="facesep-sweep", daemon=True).start()

    def forget(self, key: str | None) -> None:
        """Drops a visit and deletes its files."""
        with self._lock:
            self._drop(key or "")
            self._set.pop(key or "", None)

    def _remove_leftovers(self) -> None:
        """Deletes what a server that was killed could not."""
        for folder in self.root.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > self.keep_seconds:
                    shutil.rmtree(folder)

    def _drop(self, key: str) -> None:
        self.forgotten(key)
        session = self._sessions.pop(key, None)
        if session is not None:
            session.gone = True
            session.stopped.set()
            shutil.rmtree(session.folder, ignore_errors=True)
