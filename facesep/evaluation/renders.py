"""Pictures that another method made of the same photos, from a folder, checked before they are measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from facesep.checksums import sha256
from facesep.data.heads import SUFFIXES, Photo
from facesep.errors import DataError
from facesep.faces import find_faces
from facesep.images import load_image, to_tensor

MISALIGNED = 0.05
"""Folders are refused whose faces are off by more than this share of the picture's side (the median)."""
LOOKED_AT = 12
"""Photos whose renders are compared with them by the face detector."""


class Renders:
    """A folder with ``<name of the photo>.png`` (or .jpg), canonical pictures with the head on white.

    Args:
        name: of the method.
        folder: with the pictures; names with slashes are in subfolders.
        size: side in pixels that the pictures must have.

    Raises:
        DataError: if the folder does not exist.
    """

    def __init__(self, name: str, folder: str | Path, size: int) -> None:
        self.name = name
        self.folder = Path(folder)
        self.size = size
        if not self.folder.is_dir():
            raise DataError(f"there is no folder {folder} with renders of {name}: check the path")

    def path(self, photo: str) -> Path | None:
        """File of a photo's render, None if there is none."""
        paths = (self.folder / f"{photo}{suffix}" for suffix in SUFFIXES)
        return next((path for path in paths if path.is_file()), None)

    def read(self, photo: str) -> Tensor | None:
        """``Tensor[3, S, S]`` in 0..1, None if there is none.

        Raises:
            DataError: for another size or a refined picture.
            ImageError: for something that is not a usable picture.
        """
        path = self.path(photo)
        if path is None:
            return None
        image = _plain(path)
        if image.size != (self.size, self.size):
            raise DataError(
                f"{path} has {image.width} x {image.height} pixels, {self.size} x {self.size} are needed: "
                "render or resize to the size of the checkpoint"
            )
        return to_tensor(image)

    def check(self, names: Sequence[str], partial: bool = False) -> int:
        """Looks for all renders before anything is measured.

        Args:
            names: of the photos.
            partial: some may be missing.

        Returns:
            How many are there.

        Raises:
            DataError: if some are missing, or all, or one is refined.
            ImageError: if one is not a usable picture.
        """
        missing = [name for name in names if self.path(name) is None]
        if missing and (not partial or len(missing) == len(names)):
            raise DataError(
                f"{self.folder} has no render of {len(missing)} of {len(names)} photos, such as "
                f"{missing[0]}.png" + ("" if partial else " (--partial measures those that are there)")
            )
        for path in filter(None, map(self.path, names)):
            _plain(path)
        return len(names) - len(missing)

    def digest(self, names: Sequence[str]) -> str:
        """SHA-256 over the pictures of some photos."""
        total = hashlib.sha256()
        for name in names:
            path = self.path(name)
            total.update(f"{name} {sha256(path) if path else ''}\n".encode())
        return total.hexdigest()

    def check_alignment(self, photos: Sequence[Photo]) -> float | None:
        """Compares where the face detector sees the five points on a few photos and their renders.

        Returns:
            How far they are apart as a share of the side (the median); None if no face was found.

        Raises:
            DataError: if they are apart by more than ``MISALIGNED``.
        """
        apart, tried = [], 0
        for photo in photos:
            if tried == LOOKED_AT:
                break
            render = self.path(photo.name)
            target = find_faces(photo.image)
            if render is None or not target:
                continue
            tried += 1
            found = find_faces(load_image(render))
            if found:
                apart.append(np.linalg.norm(found[0].points - target[0].points, axis=1).mean() / self.size)
        if not apart:
            return None
        middle = float(np.median(apart))
        if middle > MISALIGNED:
            raise DataError(
                f"the renders of {self.name} are not aligned with the photos: the face is off by "
                f"{100 * middle:.0f} % of the picture's side; use the canonical crops of the photos "
                "(docs/evaluation.md)"
            )
        return middle


def _plain(path: Path) -> Image.Image:
    image = load_image(path)
    if refined(path):
        raise DataError(f"{path} is refined: refined pictures are not measured, give the plain renders")
    return image


def refined(path: str | Path) -> bool:
    """Whether a picture's metadata says that it was refined."""
    with Image.open(path) as image:
        words = [str(value) for value in image.info.values() if isinstance(value, str)]
        words += [str(value) for value in image.getexif().values()]
        xmp = image.info.get("xmp", b"")
    text = " ".join(words) + (xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else "")
    return "refined" in text.lower()
