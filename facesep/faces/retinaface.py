"""facexlib's RetinaFace with its official weights, for users who have them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facesep.camera import TEMPLATE_5
from facesep.errors import ConfigError
from facesep.faces.types import Face
from facesep.precision import full_precision

FILES = {
    "retinaface_mobile0.25": "detection_mobilenet0.25_Final.pth",
    "retinaface_resnet50": "detection_Resnet50_Final.pth",
}
"""Name of the detector and of its weights file."""
RELEASES = "https://github.com/xinntao/facexlib/releases"
SCORE = 0.8
"""Least score of a face, facexlib's own default."""


def yaw_from_points(points: np.ndarray) -> float:
    """Yaw in degrees from five points: the direction of the fitted x axis of the head.

    The affine fit of the template maps its x and z axes to ``s cos(yaw)`` and ``s sin(yaw)`` pixels in x
    when the head only turns.

    Args:
        points: ``[5, 2]`` eyes, nose tip and mouth corners in pixels, image left first.
    """
    design = np.concatenate([np.asarray(TEMPLATE_5), np.ones((5, 1))], axis=1)
    across = np.linalg.lstsq(design, np.asarray(points, np.float64)[:, 0], rcond=None)[0]
    return float(np.degrees(np.arctan2(across[2], across[0])))


def weights_file(folder: str | Path | None, name: str, kind: str) -> Path:
    """Path of a file the user must have; nothing is ever downloaded.

    Raises:
        ConfigError: if no folder is given or the file is not in it.
    """
    advice = f"download {name} from {RELEASES} into a folder and give it as weights_dir"
    if folder is None:
        raise ConfigError(f"{kind} needs its official weights: {advice}")
    path = Path(folder) / name
    if not path.is_file():
        raise ConfigError(f"{kind}: there is no {path}: {advice}")
    return path


def import_facexlib(kind: str) -> None:
    """Raises ConfigError with the command to run when facexlib is not installed."""
    try:
        import facexlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{kind} needs the package facexlib: pip install 'facesep[faces]'") from error


@lru_cache(maxsize=2)
def _network(name: str, folder: str) -> torch.nn.Module:
    from facexlib.detection import init_detection_model

    return init_detection_model(name, device="cpu", model_rootpath=folder)


@full_precision
def detect(image: Image.Image, name: str, weights_dir: str | Path | None) -> list[Face]:
    """Faces by RetinaFace, largest first.

    Args:
        image: RGB, upright.
        name: a key of ``FILES``.
        weights_dir: folder that holds the file of that name in ``FILES``.

    Raises:
        ConfigError: if facexlib or the weights are missing.
    """
    path = weights_file(weights_dir, FILES[name], name)
    import_facexlib(name)
    bgr = np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])
    with torch.inference_mode():
        rows = _network(name, str(path.parent)).detect_faces(bgr, SCORE)
    faces = []
    for row in np.asarray(rows, np.float64).reshape(-1, 15):
        points = row[5:].reshape(5, 2)
        faces.append(Face(tuple(row[:4].tolist()), points, float(row[4]), yaw_from_points(points)))
    return sorted(faces, key=lambda face: -face.area)
