"""Where label maps come from: given files, CelebAMask-HQ's part masks, or a parser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facesep.data.source import RejectError
from facesep.errors import ConfigError, DataError, FaceSepError
from facesep.faces.crop import Crop
from facesep.faces.parsing import BISENET_CLASSES, CLASSES, FILES, HEAD, parse
from facesep.faces.retinaface import RELEASES

ACCESSORIES = ("hat", "earring", "necklace")
BODY = ("neck", "necklace", "cloth")
FACE, HAIR, NECK_AND_BODY = 1, 2, 3
"""Labels of a shard; 0 is everything else, hats and earrings included."""
LEAST_HEAD = 0.05
"""Share of the crop below which a label map holds no head (whole heads cover 0.2 to 0.6)."""
FACESEP_CLASSES = ("background", "skin", "hair", "cloth")
"""How label maps of this project's own four classes read in ``CLASSES``."""
CLASS_ORDERS = {"celebamask": CLASSES, "bisenet": BISENET_CLASSES, "facesep": FACESEP_CLASSES}
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)

_TO_SHARD = np.array(
    [
        HAIR if name == "hair" else FACE if name in HEAD else NECK_AND_BODY if name in BODY else 0
        for name in CLASSES
    ],
    np.uint8,
)


def shard_labels(labels: np.ndarray) -> np.ndarray:
    """``uint8 [H, W]`` in ``CLASSES`` to a shard's four labels.

    Raises:
        RejectError: if hardly any head is left.
    """
    reduced = _TO_SHARD[labels]
    if ((reduced == FACE) | (reduced == HAIR)).mean() < LEAST_HEAD or not (reduced == FACE).any():
        raise RejectError("no head in the label map")
    return reduced


def accessories(labels: np.ndarray) -> dict[str, float]:
    """Share of the crop that each accessory covers, of those that are there."""
    shares = {name: float((labels == CLASSES.index(name)).mean()) for name in ACCESSORIES}
    return {name: round(share, 4) for name, share in shares.items() if share > 0}


class LabelMaps(ABC):
    """Gives the label map of a crop."""

    settings: dict[str, Any]
    """JSON-ready; what the maps depend on."""

    @abstractmethod
    def crop(self, name: str, photo: Image.Image, crop: Crop, image: Image.Image) -> np.ndarray:
        """Label of every pixel of a crop.

        Args:
            name: of the photo.
            photo: the upright photo.
            crop: the window of the photo.
            image: what it shows, RGB.

        Returns:
            ``uint8 [S, S]`` of the crop's size, indices into ``CLASSES``.

        Raises:
            RejectError: if there is no usable map.
        """


class ParserMaps(LabelMaps):
    """Label maps from a parser.

    Args:
        parser: ``bundled``, or ``bisenet`` or ``parsenet`` of facexlib.
        weights_dir: folder that holds the official weights of facexlib's; nothing is downloaded.

    Raises:
        ConfigError: if the parser, facexlib or the weights are missing, or the weights do not load.
    """

    def __init__(self, parser: str, weights_dir: str | Path | None) -> None:
        self.parser, self.weights_dir = parser, weights_dir
        self.settings = {"parser": parser}
        try:
            parse(Image.new("RGB", (64, 64)), parser, weights_dir)
        except FaceSepError:
            raise
        except Exception as error:  # whatever torch and facexlib make of a file that is not theirs
            raise ConfigError(f"{Path(weights_dir) / FILES[parser]} does not load: {error}") from error

    def crop(self, name: str, photo: Image.Image, crop: Crop, image: Image.Image) -> np.ndarray:
        """Parses the crop."""
        return parse(image, self.parser, self.weights_dir)


class GivenMaps(LabelMaps):
    """Label maps beside the photos: ``FOLDER/<name without suffix>.png``, of the photo's proportions.

    Args:
        folder: where they lie.
        classes: what their values mean: ``celebamask``, ``bisenet`` or ``facesep`` (0 to 3).

    Raises:
        ConfigError: for unknown classes.
        DataError: if there is no such folder.
    """

    def __init__(self, folder: str | Path, classes: str = "celebamask") -> None:
        if classes not in CLASS_ORDERS:
            raise ConfigError(f"unknown label classes {classes!r}: use one of {', '.join(CLASS_ORDERS)}")
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise DataError(f"there is no folder {folder} of label maps")
        self.settings = {"labels": classes}
        self.order = np.array([CLASSES.index(one) for one in CLASS_ORDERS[classes]], np.uint8)

    def crop(self, name: str, photo: Image.Image, crop: Crop, image: Image.Image) -> np.ndarray:
        """Crops the given map."""
        path = (self.folder / name).with_suffix(".png")
        if not path.is_file():
            raise RejectError("no label map")
        try:
            with Image.open(path) as file:
                whole = file if file.mode in ("L", "P") else file.convert("L")
                values = np.array(whole)
        except UNREADABLE as error:
            raise RejectError("unreadable label map") from error
        if values.max(initial=0) >= len(self.order):
            raise RejectError("label map with unknown values")
        return crop_labels(self.order[values], photo, crop, image.width)


class CelebAMaskMaps(LabelMaps):
    """The part masks of CelebAMask-HQ, painted over each other in the order of ``CLASSES``.

    Args:
        folder: ``CelebAMask-HQ-mask-anno``, with ``0`` to ``14`` in it.

    Raises:
        DataError: if there is no such folder.
    """

    PARTS = (
        *("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth"),
        *("u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
    )
    """Names of the files, in the order of ``CLASSES``."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise DataError(f"there is no {folder}: CelebAMask-HQ brings its masks in that folder")
        self.settings = {"labels": "CelebAMask-HQ"}

    def crop(self, name: str, photo: Image.Image, crop: Crop, image: Image.Image) -> np.ndarray:
        """Paints and crops the masks of a photo whose name is its number."""
        number = int(name)
        labels: np.ndarray | None = None
        for value, part in enumerate(self.PARTS, start=1):
            path = self.folder / str(number // 2000) / f"{number:05d}_{part}.png"
            if not path.is_file():
                continue
            try:
                with Image.open(path) as file:
                    inside = np.array(file.convert("L")) > 127
            except UNREADABLE as error:
                raise RejectError("unreadable label map") from error
            if labels is None:
                labels = np.zeros(inside.shape, np.uint8)
            if inside.shape != labels.shape:
                raise RejectError("masks differ in size")
            labels[inside] = value
        if labels is None:
            raise RejectError("no label map")
        return crop_labels(labels, photo, crop, image.width)


def choose_maps(
    parser: str | None, weights_dir: str | Path | None, folder: str | Path | None, classes: str
) -> LabelMaps:
    """Label maps for photos that bring none.

    Args:
        parser: name of a parser, or None.
        weights_dir: folder of its weights.
        folder: folder of given maps, or None.
        classes: meaning of their values.

    Raises:
        ConfigError: if neither or both are given; the message says how to get a parser.
    """
    if parser and folder:
        raise ConfigError("give a parser or label maps, not both")
    if folder:
        return GivenMaps(folder, classes)
    if parser:
        return ParserMaps(parser, weights_dir)
    raise ConfigError(
        "these photos need label maps. Give yours with --labels, or a parser: --parser bundled, or, for more "
        f"classes, download {FILES['bisenet']} from {RELEASES} into a folder, pip install 'facesep[faces]', "
        "and add --parser bisenet --weights THAT_FOLDER"
    )


def crop_labels(labels: np.ndarray, photo: Image.Image, crop: Crop, size: int) -> np.ndarray:
    """Cuts a crop out of a label map of the photo, which may have another resolution.

    Raises:
        RejectError: if its proportions are not the photo's.
    """
    height, width = labels.shape
    factor = width / photo.width
    if abs(height - photo.height * factor) > max(1.0, 0.01 * height):
        raise RejectError("photo and label map differ in shape")
    moved = Crop(crop.left * factor, crop.top * factor, crop.side * factor)
    return np.asarray(moved.apply(Image.fromarray(labels), size, fill=0, resample=Image.NEAREST))
