"""One family of exceptions. Every message says what went wrong and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""A face box ``(left, top, right, bottom)`` in pixels of the upright photo."""


class FaceSepError(Exception):
    """Base class of everything facesep raises on purpose."""


class ImageError(FaceSepError):
    """The given bytes, file or array is not a picture that can be used."""


class FaceError(FaceSepError):
    """The picture is fine but its face cannot be used."""


class NoFaceError(FaceError):
    """No face was found in the picture."""


class LyingPhotoError(NoFaceError):
    """The photo lies on its side or upside down.

    Attributes:
        turn: degrees by which it must be turned clockwise: 90, 180 or 270.
    """

    def __init__(self, message: str, turn: int) -> None:
        super().__init__(message)
        self.turn = int(turn)


class ManyFacesError(FaceError):
    """Several faces were found and none was chosen.

    Attributes:
        boxes: the faces found, largest first, as ``(left, top, right, bottom)`` in pixels.
    """

    def __init__(self, message: str, boxes: Sequence[Box]) -> None:
        super().__init__(message)
        self.boxes = [tuple(float(v) for v in box) for box in boxes]


class SmallFaceError(FaceError):
    """The face has too few pixels to be encoded."""


class TurnedFaceError(FaceError):
    """The head is turned too far from the camera.

    Attributes:
        yaw: estimated yaw in degrees.
    """

    def __init__(self, message: str, yaw: float) -> None:
        super().__init__(message)
        self.yaw = float(yaw)


class CodesError(FaceSepError):
    """Codes of the wrong kind, size or combination."""


class ConfigError(FaceSepError):
    """A configuration, option or path that does not make sense."""


class DataError(FaceSepError):
    """A data set, shard or label file that is missing, damaged or does not fit."""


class CheckpointError(FaceSepError):
    """A checkpoint that is missing, damaged, unsafe or of another version."""


class HubError(CheckpointError):
    """The Hub could not be reached or refused the request."""


class VideoError(FaceSepError):
    """A video could not be written or read."""


class PhotoWarning(UserWarning):
    """A photo can be used, but something about it may spoil the result, or an option cannot be met."""
