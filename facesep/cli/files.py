"""What commands read and write: faces from photos or codes files, checked output paths."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from facesep.cli.console import Progress
from facesep.codes import SUFFIX, Codes, is_codes_file
from facesep.detail import Portrait
from facesep.errors import (
    CodesError,
    ConfigError,
    FaceError,
    FaceSepError,
    ImageError,
    ManyFacesError,
)
from facesep.images import MAX_BYTES, load_image
from facesep.model import FaceSep

STDIN = "-"
"""In place of a file: standard input, and standard output."""
PHOTOS = (
    *(".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"),
    *(".heic", ".heif"),
)
"""Names of files in folders that are taken for photos."""


class Reader:
    """Reads each face once, however often it is asked for.

    Args:
        sep: the model.
        progress: where notes about the photos go.
        aligned: the photos are canonical crops already.
        fit: gradient steps for each photo.
        upright: photos that lie on their side or are upside down are turned.
        detail: photos become portraits, which keep their pixels.
        stdin: what standard input held.
    """

    def __init__(
        self,
        sep: FaceSep,
        progress: Progress,
        aligned: bool = False,
        fit: int = 0,
        upright: bool = False,
        detail: bool = False,
        stdin: bytes | None = None,
    ) -> None:
        self.sep, self.progress, self.aligned, self.fit = sep, progress, aligned, fit
        self.upright, self.detail, self.stdin = upright, detail, stdin
        self.warnings: list[dict[str, str]] = []
        """What the photos read so far were warned of: ``{"photo": path, "text": sentence}`` each."""
        self._known: dict[tuple[str, int | None], Portrait | Codes] = {}

    def __call__(self, path: str, face: int | None = None, option: str = "--face N") -> Portrait | Codes:
        """One face: its portrait, or its codes where photos have none or no detail is wanted.

        Args:
            path: a photo, or codes written by ``facesep encode``.
            face: which face of it.
            option: the option that chooses the face, for messages.

        Raises:
            FaceSepError: naming the file, if it cannot be used.
        """
        if (path, face) not in self._known:
            read = self._codes if is_codes_file(path) else self._photo
            self._known[path, face] = read(path, face, option)
        return self._known[path, face]

    def forget(self, path: str) -> None:
        """Lets go of the faces of a photo, whose pixels take memory."""
        self._known = {key: face for key, face in self._known.items() if key[0] != path}

    def _codes(self, path: str, face: int | None, option: str) -> Codes:
        if self.fit:
            self.progress.note(f"{path}: holds codes, which --fit leaves as they are")
        codes = Codes.load(path).batch().to(self.sep.device)
        if face is None and len(codes) != 1:
            raise CodesError(f"{path} holds the codes of {len(codes)} faces: choose one with {option}")
        if not 0 <= (face or 0) < len(codes):
            raise CodesError(f"{path} has no face {face}: it holds {len(codes)}, counted from 0")
        return codes[face or 0]

    def _photo(self, path: str, face: int | None, option: str) -> Portrait | Codes:
        source = self.stdin if path == STDIN and self.stdin is not None else path
        path = "standard input" if path == STDIN else path
        try:
            if self.aligned:
                if face is not None:
                    raise ConfigError(f"an aligned picture is taken as it is: leave {option} out")
                return self.sep.encode(source, aligned=True, fit=self.fit)
            photo = load_image(source)
            aligned = self.sep.align(photo, face, upright=self.upright)
        except ManyFacesError as error:
            faces = "; ".join(
                f"{number}: {right - left:.0f} x {bottom - top:.0f} pixels at {left:.0f}, {top:.0f}"
                for number, (left, top, right, bottom) in enumerate(error.boxes)
            )
            raise FaceError(
                f"{path} shows {len(error.boxes)} faces ({faces}): choose one with {option}"
            ) from error
        except (ImageError, FaceError, ConfigError) as error:
            raise FaceSepError(f"{path}: {error}") from error
        for warning in aligned.warnings:
            self.progress.note(f"{path}: {warning}")
            self.warnings.append({"photo": path, "text": warning})
        if self.detail:
            photo = photo.rotate(-aligned.turn, expand=True)  # as the face was found
            return self.sep.portrait(photo, face=aligned.face, fit=self.fit)
        return self.sep.encode(aligned, fit=self.fit)


def photos_in(arguments: Sequence[str], codes: bool) -> list[str]:
    """Photos by their paths; folders give all that are in them, by name.

    Args:
        arguments: files, folders, or ``STDIN``.
        codes: whether codes files in folders count as well.

    Raises:
        ConfigError: for a folder without any.
    """
    suffixes = (*PHOTOS, SUFFIX) if codes else PHOTOS
    found: list[str] = []
    for argument in arguments:
        if argument == STDIN or not os.path.isdir(argument):  # False for names too long to exist
            found.append(argument)
            continue
        inside = files_in(Path(argument), suffixes)
        if not inside:
            raise ConfigError(f"there is no photo in the folder {argument}: give another one")
        found += inside
    return found


def files_in(folder: Path, suffixes: Sequence[str], deep: bool = False) -> list[str]:
    """Files of a folder with some suffixes, by name; ``deep`` takes those of its folders, too."""
    every = folder.rglob("*") if deep else folder.iterdir()
    return [
        str(path)
        for path in sorted(every)
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    ]


def read_stdin() -> bytes:
    """What standard input holds.

    Raises:
        ConfigError: for nothing, or a terminal.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError("standard input (-) is a terminal: send a file, as in facesep ... - < anna.jpg")
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if not data:
        raise ConfigError("standard input (-) is empty: send a file, as in facesep ... - < anna.jpg")
    return data


def is_folder(given: str | None) -> bool:
    """Whether an option names a folder: one that exists, or any name that ends in a slash."""
    if given is None or given == STDIN:
        return False
    return given.endswith(("/", os.sep)) or os.path.isdir(given)


def output_path(path: str | Path, suffixes: Sequence[str], inputs: Sequence[str], overwrite: bool) -> Path:
    """The path of a result, checked before any work is done.

    Args:
        path: where it shall be written.
        suffixes: what the name may end in.
        inputs: files of the user that must never be replaced.
        overwrite: whether another existing file may be.

    Raises:
        ConfigError: if the result cannot or must not be written there.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"the output {str(path)!r} must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} does not exist: create it first")
    try:
        folder = path.is_dir()
    except OSError as error:
        raise ConfigError(f"the output {str(path)[:60]!r} is no name for a file: {error.strerror}") from error
    if folder:
        raise ConfigError(f"{path} is a folder: give the name of a file")
    if path.exists():
        if any(Path(one).exists() and path.samefile(one) for one in inputs):
            raise ConfigError(f"{path} is an input, which is never replaced: choose another output")
        if not overwrite:
            raise ConfigError(f"{path} exists: choose another output or add --overwrite")
    return path


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Makes a folder, and takes it away again if nothing was written to it.

    Raises:
        ConfigError: if it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot create the folder {folder} ({error}): choose another output"
            ) from error
        yield
    finally:
        for one in missing:
            with contextlib.suppress(OSError):  # something is in it
                one.rmdir()


def check_identity(include_identity: bool) -> None:
    """Refuses to write codes unless asked to.

    Raises:
        CodesError: if ``--include-identity`` is not set.
    """
    if not include_identity:
        raise CodesError(
            "the shape code identifies a person (biometric data): add --include-identity if you may keep it"
        )
