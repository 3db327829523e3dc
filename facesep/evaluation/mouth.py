"""Mouth shapes on photos and renders, by landmark tools that training does not use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from facesep.analysis.landmarks import MEDIAPIPE_68
from facesep.data.portraits import five_points
from facesep.errors import ConfigError
from facesep.evaluation.external import call
from facesep.faces import find_faces

LIPS = MEDIAPIPE_68[48:]
"""The 20 lip points of the iBUG scheme in the MediaPipe mesh."""
MESH_POINTS = 478


class MouthTool(Protocol):
    """Measures mouth shapes."""

    name: str

    def mouths(self, images: Sequence[Image.Image]) -> np.ndarray:
        """``[N, K]`` mouth shapes in units of the eye distance; NaN where no face was found."""


class FivePoints:
    """The project's own detector: width of the mouth and height of its corners.

    It was trained for detection, on photos alone; no loss of the encoder or the decoder contains it.
    """

    name = "the bundled five-point detector"

    def mouths(self, images: Sequence[Image.Image]) -> np.ndarray:
        """``[N, 2]``: width, and how far the corners lie below the eyes."""
        shapes = np.full((len(images), 2), np.nan)
        for row, image in enumerate(images):
            faces = find_faces(image)
            if faces:
                shapes[row] = mouth_of_five(faces[0].points)
        return shapes


class ExternalTool:
    """Any landmark tool behind a command, see ``facesep.evaluation.external.call``.

    Its array ``landmarks`` is ``[M, 478, 2 or more]``: points of the MediaPipe face mesh in pixels.
    docs/evaluation.md shows such a script.
    """

    def __init__(self, command: str, name: str = "MediaPipe face mesh") -> None:
        self.command = command
        self.name = name

    def mouths(self, images: Sequence[Image.Image]) -> np.ndarray:
        """``[N, 40]``: x and y of 20 lip points around their centre.

        Raises:
            ConfigError: if the command fails or writes something else.
        """
        shapes = np.full((len(images), 2 * len(LIPS)), np.nan)
        for row, points in zip(*self.landmarks(images), strict=True):
            shapes[row] = mouth_of_mesh(points)
        return shapes

    def landmarks(self, images: Sequence[Image.Image]) -> tuple[list[int], np.ndarray]:
        """Indices of the pictures with a face, and ``[M, 478, 2 or more]`` points.

        Raises:
            ConfigError: if the command fails or writes something else.
        """
        rows, points = call(self.command, images, "landmarks")
        if len(rows) and points.shape[1] != MESH_POINTS:
            raise ConfigError(
                f"the landmark command must give {MESH_POINTS} points for each name, it gave "
                f"{points.shape} for {len(rows)} names"
            )
        return rows, points.astype(np.float64)


def mouth_of_five(points: np.ndarray) -> np.ndarray:
    """Mouth width and height of its corners from five points.

    Args:
        points: ``[5, 2]`` eyes, nose tip and mouth corners in pixels, image left first.

    Returns:
        ``[2]``, in units of the eye distance: distance of the corners, and how far their middle lies below
        the line of the eyes. Moving, turning and scaling the picture changes neither.
    """
    corners = _in_eye_frame(points[3:5], points)
    return np.array([np.linalg.norm(corners[1] - corners[0]), corners[:, 1].mean()])


def mouth_of_mesh(landmarks: np.ndarray) -> np.ndarray:
    """Shape of the lips from a MediaPipe mesh, wherever in the face they are.

    Args:
        landmarks: ``[478, 2 or more]`` in pixels.

    Returns:
        ``[40]``: x and y of 20 lip points around their centre, upright and in units of the eye distance.
    """
    lips = _in_eye_frame(landmarks[list(LIPS), :2], five_points(landmarks))
    return (lips - lips.mean(0)).ravel()


def _in_eye_frame(points: np.ndarray, five: np.ndarray) -> np.ndarray:
    """Points with the middle of the eyes as origin, the right one at x = 0.5 and y down."""
    axis = five[1] - five[0]
    along = axis / (axis @ axis)
    offset = points - (five[0] + five[1]) / 2
    return np.stack((offset @ along, offset @ np.array((-along[1], along[0]))), -1)
