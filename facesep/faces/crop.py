"""The canonical crop: five points of a photo decide which square of it shows the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from facesep import checks
from facesep.camera import CENTRE_X, CENTRE_Y, TEMPLATE_5, WINDOW
from facesep.errors import FaceError, ImageError

# Deep3D scales a photo so that one decimetre of the template measures 102 px in its 224 px crop, while
# its camera (f = 1015 px at 10 dm) maps one decimetre to 101.5 px. The window keeps that ratio.
DEEP3D_SCALE = 101.5 / 102.0
FARTHEST = 1e6
"""Largest place and side of a window, in pixels."""
LARGEST = 2**14
"""Largest side of a canonical image, in pixels."""


def point_array(points: np.ndarray) -> np.ndarray:
    """Points as ``float64[N, 2]``.

    Raises:
        FaceError: for something else.
    """
    try:
        found = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise FaceError(f"points are an array [N, 2], got {checks.shown(points)}") from error
    if found.ndim != 2 or found.shape[1] != 2:
        raise FaceError(f"points are an array [N, 2], got one of the shape {list(found.shape)}")
    return found


def fit_scale_offset(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Fits a scaled orthographic view of the five-point template to five image points.

    The least-squares fit of Deep3DFaceRecon: two free rows and an offset; the scale is the mean length
    of the rows. In-plane rotation is left in the picture.

    Args:
        points: ``[5, 2]`` eyes, nose tip and mouth corners in pixels, image left first, y down.

    Returns:
        ``(scale, offset)``: pixels per decimetre, and the ``[2]`` pixel (x, y) of the template's origin.

    Raises:
        FaceError: if the points are not finite or lie on one spot.
    """
    points = point_array(points)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise FaceError("five finite points are needed: eyes, nose tip and mouth corners")
    design = np.concatenate([np.asarray(TEMPLATE_5), np.ones((5, 1))], axis=1)
    solution = np.linalg.lstsq(design, points, rcond=None)[0]  # [4, 2]: three coefficients and the offset
    scale = float(np.linalg.norm(solution[:3], axis=0).mean())
    if scale < 1e-3:
        raise FaceError("the five points lie on one spot: no face can be cropped there")
    return scale, solution[3]


@dataclass(frozen=True)
class Crop:
    """A square window of a photo, in pixels of the photo (it may reach beyond its border)."""

    left: float
    top: float
    side: float

    def __post_init__(self) -> None:
        for name, least in (("left", -FARTHEST), ("top", -FARTHEST), ("side", 1e-3)):
            checks.number(getattr(self, name), name, least, FARTHEST, unit="pixels")

    @staticmethod
    def from_points(points: np.ndarray) -> Crop:
        """The canonical window of a face from its five points, see ``fit_scale_offset``."""
        scale, offset = fit_scale_offset(points)
        side = WINDOW * scale * DEEP3D_SCALE
        return Crop(float(offset[0] - CENTRE_X * side), float(offset[1] - CENTRE_Y * side), float(side))

    def to_canonical(self, points: np.ndarray, size: int) -> np.ndarray:
        """Pixels of the photo ``[N, 2]`` to pixels of a canonical image of ``size``."""
        return (point_array(points) - (self.left, self.top)) * (_side(size) / self.side)

    def to_photo(self, points: np.ndarray, size: int) -> np.ndarray:
        """The inverse of ``to_canonical``."""
        return point_array(points) * (self.side / _side(size)) + (self.left, self.top)

    def apply(
        self, image: Image.Image, size: int, fill: int | None = 255, resample: int = Image.LANCZOS
    ) -> Image.Image:
        """Cuts the window out of a photo and resizes it with anti-aliasing.

        Args:
            image: the photo (any mode with bands of 8 bits).
            size: side of the result in pixels.
            fill: value of what lies beyond the border; None repeats the pixels at the border.
            resample: PIL filter; use ``Image.NEAREST`` for label maps.

        Returns:
            A ``size x size`` image of the same mode.

        Raises:
            FaceError: if the window lies outside of the photo.
            ImageError: for something that is not a picture.
            ConfigError: for a size, value or filter that does not exist.
        """
        if not isinstance(image, Image.Image):
            raise ImageError(f"a crop is cut out of a PIL image, got {checks.shown(image)}")
        size = _side(size)
        if fill is not None:
            fill = checks.whole(fill, "fill", 0, 255)
        resample = checks.whole(resample, "resample", 0, max(Image.Resampling))
        # PIL resamples only boxes inside the picture: paste the part that exists on a filled canvas.
        x0, y0 = int(np.floor(self.left)), int(np.floor(self.top))
        x1, y1 = int(np.ceil(self.left + self.side)), int(np.ceil(self.top + self.side))
        inside = (max(x0, 0), max(y0, 0), min(x1, image.width), min(y1, image.height))
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            raise FaceError("the face lies outside the photo")
        part, origin = image, (0, 0)
        if inside != (x0, y0, x1, y1):
            part = image.crop(inside)
            if fill is None:
                beyond = ((inside[1] - y0, y1 - inside[3]), (inside[0] - x0, x1 - inside[2]), (0, 0))
                pixels = np.asarray(part)
                part = Image.fromarray(np.pad(pixels, beyond[: pixels.ndim], mode="edge"))
            else:
                bands = len(image.getbands())
                sheet = Image.new(image.mode, (x1 - x0, y1 - y0), fill if bands == 1 else (fill,) * bands)
                sheet.paste(part, (inside[0] - x0, inside[1] - y0))
                part = sheet
            origin = (x0, y0)
        left, top = self.left - origin[0], self.top - origin[1]
        box = (left, top, min(left + self.side, part.width), min(top + self.side, part.height))
        return part.resize((size, size), resample, box=box)


def _side(size: int) -> int:
    return checks.whole(size, "size", 1, LARGEST)
