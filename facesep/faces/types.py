"""What detection and alignment return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from facesep.camera import TEMPLATE_5
from facesep.checks import shown
from facesep.errors import Box, FaceError, ImageError
from facesep.faces.crop import Crop, fit_scale_offset, point_array

TEMPLATE_INTEROCULAR = float(np.linalg.norm(np.subtract(TEMPLATE_5[0], TEMPLATE_5[1])))
"""Distance of the eyes of the five-point template in decimetres (0.621)."""

_EYES_TO_MOUTH = float(np.mean(TEMPLATE_5[:2], axis=0)[1] - np.mean(TEMPLATE_5[3:], axis=0)[1])


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a photo, in pixels of the upright photo (pixel i covers [i, i + 1)).

    Attributes:
        box: left, top, right, bottom: forehead to chin, cheek to cheek, without ears and hair.
        points: ``float64[5, 2]`` eyes, nose tip and mouth corners, image left first.
        score: 0 to 1, how sure the detector is.
        yaw: degrees, 0 for a frontal face, positive when the nose points to image right; NaN when the
            detector does not estimate it.
    """

    box: Box
    points: np.ndarray
    score: float
    yaw: float

    @property
    def interocular(self) -> float:
        """Distance of the eyes in pixels as it were without the turn: scale of the fitted template."""
        return fit_scale_offset(self.points)[0] * TEMPLATE_INTEROCULAR

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    @property
    def roll(self) -> float:
        """In-plane rotation of the line between the eyes, degrees, positive clockwise."""
        across = self.points[1] - self.points[0]
        return float(np.degrees(np.arctan2(across[1], across[0])))

    @property
    def stretch(self) -> float:
        """How wide the face is for its height, 1 for the five-point template; 0.85 to 1.31 in portraits.

        The distance of the eyes, without the turn, against that from the eyes to the mouth. A photo that was
        squeezed to twice its width has about 2.
        """
        eyes, mouth = self.points[:2], self.points[3:]
        across = eyes[1] - eyes[0]
        width = float(np.linalg.norm(across))
        down = mouth.mean(0) - eyes.mean(0)
        height = abs(float(across[0] * down[1] - across[1] * down[0])) / max(width, 1e-9)
        if np.isfinite(self.yaw):
            width /= max(np.cos(np.radians(self.yaw)), 1e-9)
        return width / TEMPLATE_INTEROCULAR / max(height / _EYES_TO_MOUTH, 1e-9)


@dataclass(frozen=True, eq=False)
class Aligned:
    """A photo's face in the canonical frame.

    Attributes:
        image: RGB, ``size x size``, white beyond the border of the photo; where the photo ends so close to
            the face that hair is cut off, the pixels at the border are repeated.
        crop: the window of the photo that ``image`` shows.
        face: the face, in pixels of the photo.
        warnings: plain sentences about what may spoil the result; empty when nothing does.
        turn: by how many degrees clockwise the photo was turned first; ``crop`` and ``face`` are in pixels
            of the turned photo.
    """

    image: Image.Image
    crop: Crop
    face: Face
    warnings: tuple[str, ...]
    turn: int = 0

    @staticmethod
    def of_crop(image: Image.Image, points: np.ndarray) -> Aligned:
        """A canonical crop that was made before, with its five points ``[5, 2]`` in pixels of it.

        Raises:
            ImageError: for something that is not a picture.
            FaceError: for something that is not five points.
        """
        if not isinstance(image, Image.Image):
            raise ImageError(f"a crop is a PIL image, got {shown(image)}")
        points = point_array(points)
        if len(points) != 5:
            raise FaceError(f"a face has five points, got {len(points)}")
        face = Face((0.0, 0.0, float(image.width), float(image.height)), points, 1.0, float("nan"))
        return Aligned(image, Crop(0.0, 0.0, float(image.width)), face, ())

    @property
    def points(self) -> np.ndarray:
        """``float64[5, 2]`` the five points in pixels of ``image``."""
        return self.crop.to_canonical(self.face.points, self.image.width)
