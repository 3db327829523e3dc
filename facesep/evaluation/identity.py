"""Identity by a face-recognition network that training never uses, and where the own photo ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facesep.errors import ConfigError
from facesep.images import to_image
from facesep.nets.crops import arcface_crop
from facesep.nets.official.arcface import ArcFace

BOX = (0.235, 0.335, 0.765, 0.865)
"""Where dlib's own detector sees the face in a canonical image (left, top, right, bottom; the median over
photos, made symmetric). Photo and render get the same box, so no detection can fail for one of them."""
CHIP_SIZE, CHIP_PADDING = 150, 0.25
SAME_PERSON = 0.6
"""Distance below which dlib's author calls two photos the same person."""
SIZE = 256
"""Side at which canonical images are looked at."""

_NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
_POINTS = "shape_predictor_5_face_landmarks.dat"


def model_files() -> tuple[Path, Path]:
    """The embedding and the five-point predictor in the folder of ``face-recognition-models``.

    That package cannot be imported where setuptools no longer brings ``pkg_resources``; its files can be
    found without.

    Raises:
        ConfigError: if it is not installed.
    """
    found = find_spec("face_recognition_models")
    for root in (found.submodule_search_locations or ()) if found else ():
        files = Path(root) / "models" / _NETWORK, Path(root) / "models" / _POINTS
        if all(file.is_file() for file in files):
            return files
    raise ConfigError(
        "identity needs the package face-recognition-models: pip install 'facesep[eval]', or leave identity "
        "out with --identity none"
    )


class DlibIdentity:
    """dlib's ResNet embedding: 128 numbers, compared by Euclidean distance.

    Raises:
        ConfigError: if dlib or its models are not installed.
    """

    name = "dlib ResNet (dlib-bin, face-recognition-models)"
    column = "IC dlib"

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise ConfigError(
                "identity needs the package dlib-bin: pip install 'facesep[eval]', or leave identity out "
                "with --identity none"
            ) from error
        network, points = model_files()
        self._dlib = dlib
        self._network = dlib.face_recognition_model_v1(str(network))
        self._points = dlib.shape_predictor(str(points))

    def embed(self, image: Image.Image) -> np.ndarray:
        """Embeds one canonical image (photo or render).

        Five points are found in a fixed box, the face is turned upright and cut out by dlib's own rule.

        Returns:
            ``float64[128]``.
        """
        picture = image.convert("RGB").resize((SIZE, SIZE), Image.LANCZOS)
        pixels = np.ascontiguousarray(np.asarray(picture))
        left, top, right, bottom = (round(edge * SIZE) for edge in BOX)
        points = self._points(pixels, self._dlib.rectangle(left, top, right - 1, bottom - 1))
        chip = self._dlib.get_face_chip(pixels, points, CHIP_SIZE, CHIP_PADDING)
        return np.array(self._network.compute_face_descriptor(chip))

    def embed_all(self, images: Tensor, points: Tensor) -> np.ndarray:
        """Embeds ``Tensor[B, 3, S, S]`` in 0..1: ``float64[B, 128]``. The given points are not looked at."""
        return np.stack([self.embed(to_image(image)) for image in images])


class ArcFaceIdentity:
    """ArcFace, the paper's measure, from a file that ``train/import_weights.py arcface`` wrote.

    Args:
        path: the file.
        device: where it computes.

    Raises:
        CheckpointError: if the file holds something else.
    """

    column = "IC"

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        self.name = f"ArcFace ({Path(path).name})"
        self._network = ArcFace.from_file(path).to(device)
        self._device = device

    @torch.no_grad()
    def embed_all(self, images: Tensor, points: Tensor) -> np.ndarray:
        """Embeds pictures.

        Args:
            images: ``Tensor[B, 3, S, S]`` in 0..1.
            points: ``Tensor[B, 5, 2]`` in their pixels; a render has those of its photo.

        Returns:
            ``float64[B, 512]``.
        """
        crops = arcface_crop(images.float(), points.float(), fit="insightface").to(self._device)
        return self._network(crops * 2 - 1).double().cpu().numpy()


@dataclass(frozen=True)
class Ranking:
    """How near each picture is to the photo it stands for, and to everybody else.

    Attributes:
        distance: ``[N]`` to the own photo.
        farther: ``[N]`` share of the other people all of whose photos are farther away than that.
    """

    distance: np.ndarray
    farther: np.ndarray

    @property
    def same(self) -> np.ndarray:
        """``[N]``, 1 where the distance is that of one person by dlib's rule."""
        return _flag(self.distance < SAME_PERSON, self.distance)

    @property
    def among_nearest(self) -> np.ndarray:
        """``[N]``, 1 where the own photo is nearer than 95 % of the other people."""
        return _flag(self.farther >= 0.95, self.distance)

    @property
    def nearest(self) -> np.ndarray:
        """``[N]``, 1 where the own photo is nearer than everybody else."""
        return _flag(self.farther == 1, self.distance)


def rank(pictures: np.ndarray, photos: np.ndarray, people: Sequence[str]) -> Ranking:
    """Compares each picture with its own photo and with the photos of all other people.

    Another person is as near as the nearest of their photos, the stricter choice. Ties do not count as
    farther. Further photos of the same person take no part.

    Args:
        pictures: ``[N, D]`` embeddings, such as of renders; NaN rows are skipped.
        photos: ``[N, D]`` embeddings of the photos they stand for.
        people: ``N`` names.

    Raises:
        ConfigError: if there are not at least two people.
    """
    names = list(dict.fromkeys(people))
    if len(names) < 2:
        raise ConfigError("ranking identities needs photos of at least two people")
    owner = np.array([names.index(person) for person in people])
    distances = np.linalg.norm(pictures[:, None] - photos[None], axis=-1)
    own = np.diagonal(distances).copy()
    nearest = np.stack([distances[:, owner == k].min(1) for k in range(len(names))], 1)
    farther = nearest > own[:, None]
    farther[np.arange(len(owner)), owner] = False
    share = farther.sum(1) / (len(names) - 1)
    return Ranking(own, np.where(np.isnan(own), np.nan, share))


def _flag(values: np.ndarray, distance: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(distance), np.nan, values.astype(np.float64))
