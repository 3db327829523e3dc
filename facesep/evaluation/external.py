"""Measuring tools of others behind a command: pictures in a folder, one array out."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from facesep.errors import ConfigError
from facesep.provenance import write_image

TIMEOUT = 1800
"""Seconds after which a tool is given up."""


def call(command: str, images: Sequence[Image.Image], what: str) -> tuple[list[int], np.ndarray]:
    """Calls ``COMMAND FOLDER OUT.npz`` on pictures.

    The tool finds them as ``FOLDER/*.png`` and writes two arrays: ``names``, the file names without suffix
    of those it can say something about, and one with a row for each of them.

    Args:
        command: the tool with its options, as in a shell.
        images: what it shall look at.
        what: name of the array, such as ``landmarks``.

    Returns:
        Indices into ``images`` in ascending order, and their rows ``[M, ...]``.

    Raises:
        ConfigError: if the command fails, takes too long or writes something else.
    """
    kind = what.rstrip("s")
    with tempfile.TemporaryDirectory(prefix="facesep-tool-") as name:
        folder, out = Path(name), Path(name) / "out.npz"
        for row, image in enumerate(images):
            write_image(image, folder / f"{row:05d}.png", marked=False)
        try:
            words = [*shlex.split(command), str(folder), str(out)]
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=TIMEOUT)
            with np.load(out, allow_pickle=False) as file:
                rows, found = [int(one) for one in file["names"].tolist()], np.asarray(file[what])
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip() or "no message").splitlines()[-1]
            raise ConfigError(f"the {kind} command failed: {last}") from error
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"the {kind} command gave no {what}: {error}") from error
    if len(found) != len(rows) or not set(rows) <= set(range(len(images))):
        raise ConfigError(f"the {kind} command gave {len(found)} {what} for {len(rows)} names")
    order = np.argsort(rows)
    return [rows[place] for place in order], found[order]
