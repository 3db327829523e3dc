"""What the command prints: results to stdout, all else to stderr, whatever has become of the two."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from facesep.errors import ConfigError


def hold_streams() -> None:
    """Takes the places of a closed stdin, stdout and stderr, into which libraries print.

    Otherwise the next file that is opened gets such a place, and the text in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number


def say(text: str) -> None:
    r"""Prints a result to stdout.

    The work goes on where nobody reads it: after ``| head -1``, or with a closed stdout. What the stream's
    encoding lacks is written as ``\uXXXX``.

    Raises:
        ConfigError: if it is lost, as on a full disk.
    """
    if sys.stdout is None:
        return
    with delivered(text):
        try:
            sys.stdout.write(text + "\n")
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def say_json(value: object) -> None:
    """Prints a result as JSON on one line."""
    say(json.dumps(value))


def deliver(path: Path) -> None:
    """Writes a file's bytes to stdout.

    Raises:
        ConfigError: if they are lost, as on a full disk.
    """
    with delivered(path.name):
        sys.stdout.buffer.write(path.read_bytes())


@contextlib.contextmanager
def delivered(text: str) -> Iterator[None]:
    """Flushes stdout after something was written, and says what cannot be delivered.

    Raises:
        ConfigError: if it is lost, as on a full disk.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence()
    except OSError as error:
        _silence()
        raise ConfigError(f"cannot print {text[:200]!r} to standard output ({error.strerror})") from error


def _silence() -> None:
    """Sends what is left in stdout's buffer nowhere, since Python tries to write it again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def tell(text: str) -> None:
    """Prints to stderr, if that can be."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # full, closed by the program, not there
        sys.stderr.write(text)
        sys.stderr.flush()


class Progress:
    """A counter on stderr, and notes about the photos. Without a terminal there are only the notes.

    Args:
        quiet: print nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def note(self, text: str) -> None:
        """One line that the user should read."""
        if not self.quiet:
            tell(f"facesep: note: {text}\n")

    def count(self, what: str, done: int, total: int) -> None:
        """Shows how far a loop is."""
        if not self.quiet and sys.stderr is not None and sys.stderr.isatty():
            tell(f"\r{what} {done}/{total}" + ("\n" if done == total else ""))
