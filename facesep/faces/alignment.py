"""From a photo to one aligned face, or to an error that says what is wrong with the photo."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

from PIL import Image

from facesep.camera import WINDOW
from facesep.checks import choice, flag, whole
from facesep.errors import (
    ConfigError,
    LyingPhotoError,
    ManyFacesError,
    NoFaceError,
    SmallFaceError,
    TurnedFaceError,
)
from facesep.faces.crop import Crop
from facesep.faces.types import TEMPLATE_INTEROCULAR, Aligned, Face
from facesep.images import as_picture

DETECTORS = ("bundled", "retinaface_mobile0.25", "retinaface_resnet50")
DOMINANT = 4.0
"""A face whose box is this many times larger than the next one is meant, unless another is chosen."""
MOST_SIZE = 4096
"""Largest side of a canonical crop in pixels."""
LEAST_INTEROCULAR = 12.0
"""Pixels between the eyes below which a face is refused."""
LARGEST_YAW = 60.0
"""Degrees beyond which a head is refused."""
CLEAR_SCORE = 0.87
"""Score from which a photo is not searched in other orientations: faces seen upside down reach 0.86."""
CLEAR_LEAD = 0.03
"""By how much the score of another orientation must be higher; a tilted head's counts twice this less."""
NOTED_YAW = 20.0
NOTED_ROLL = 30.0
NOTED_SCORE = 0.65
NOTED_ENLARGEMENT = 1.6
NOTED_OUTSIDE, NOTED_ABOVE = 0.3, 0.08
NOTED_STRETCH = (0.8, 1.35)
NOTED_WHITE = 0.25
"""Thresholds of the warnings: degrees, degrees, score, factor, share of the window beyond the photo, share of
its height above the photo, least and largest stretch, share of the face that is as white as paper."""
PAPER = 240
"""Value from which a pixel is as white as paper."""

_TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
_WORDS = {90: "90 degrees clockwise", 180: "180 degrees", 270: "90 degrees anticlockwise"}


def find_faces(
    image: Image.Image, detector: str = "bundled", weights_dir: str | Path | None = None
) -> list[Face]:
    """All faces of a photo, largest first; an empty list when there is none.

    Args:
        image: upright photo.
        detector: ``"bundled"`` needs nothing; ``"retinaface_mobile0.25"`` and ``"retinaface_resnet50"``
            are facexlib's, with the official weights in ``weights_dir`` (never downloaded).
        weights_dir: folder of those weights.

    Raises:
        ConfigError: for an unknown detector or missing weights.
        CheckpointError: if the bundled weights are damaged.
    """
    choice(detector, "detector", DETECTORS)
    image = as_picture(image)
    if detector == "bundled":
        from facesep.faces.detector import detect

        return detect(image)
    from facesep.faces.retinaface import detect as retinaface

    return retinaface(image, detector, weights_dir)


def choose(faces: list[Face], face: int | None) -> tuple[Face, list[str]]:
    """The face that is meant, and warnings.

    Args:
        faces: largest first, at least one.
        face: index into ``faces``, or None to take the only or by far the largest one.

    Raises:
        ConfigError: for an index out of range.
        ManyFacesError: if none is chosen and several are of similar size.
    """
    count = len(faces)
    if face is not None:
        if isinstance(face, Integral) and not 0 <= face < count:
            raise ConfigError(
                f"there is no face {face}: the photo shows {count}, counted from 0, largest first"
            )
        return faces[whole(face, "face", 0, count - 1)], []
    if count == 1:
        return faces[0], []
    if faces[0].area > DOMINANT * faces[1].area:
        return faces[0], [f"The photo shows {count} faces; the largest is used."]
    raise ManyFacesError(
        f"the photo shows {count} faces: choose one with face=0 to face={count - 1} (largest first) "
        "or crop the photo",
        [each.box for each in faces],
    )


def check(face: Face) -> None:
    """Refuses faces that cannot be encoded.

    Raises:
        SmallFaceError: if the eyes are less than ``LEAST_INTEROCULAR`` pixels apart.
        TurnedFaceError: if the head is turned by more than ``LARGEST_YAW`` degrees.
    """
    if face.interocular < LEAST_INTEROCULAR:
        raise SmallFaceError(
            f"the face is too small: {face.interocular:.0f} pixels between the eyes, at least "
            f"{LEAST_INTEROCULAR:.0f} are needed; use a photo of higher resolution or a closer one"
        )
    if abs(face.yaw) > LARGEST_YAW:
        side = "right" if face.yaw > 0 else "left"
        raise TurnedFaceError(
            f"the head is turned about {abs(face.yaw):.0f} degrees to the {side} of the picture, at most "
            f"{LARGEST_YAW:.0f} are possible; use a photo in which both eyes are seen",
            face.yaw,
        )


def _ends_close(crop: Crop, photo: tuple[int, int]) -> bool:
    """Whether much of the window, or the hair, lies beyond the photo's border."""
    width = max(0.0, min(crop.left + crop.side, photo[0]) - max(crop.left, 0.0))
    height = max(0.0, min(crop.top + crop.side, photo[1]) - max(crop.top, 0.0))
    return 1 - width * height / crop.side**2 > NOTED_OUTSIDE or -crop.top > NOTED_ABOVE * crop.side


def _paper(image: Image.Image) -> float:
    """Which share of a canonical image is as white as paper between brows and chin."""
    box = [round(share * image.width) for share in (0.31, 0.37, 0.69, 0.78)]
    counts = image.convert("L").crop(box).histogram()
    return sum(counts[PAPER:]) / sum(counts)


def _warnings(face: Face, image: Image.Image, ends_close: bool) -> list[str]:
    found = []
    if abs(face.yaw) > NOTED_YAW:
        found.append(f"The head is turned about {abs(face.yaw):.0f} degrees; the hidden side is a guess.")
    if abs(face.roll) > NOTED_ROLL:
        found.append(f"The head is tilted by {abs(face.roll):.0f} degrees; an upright photo works better.")
    wanted = image.width * TEMPLATE_INTEROCULAR / WINDOW
    if wanted > NOTED_ENLARGEMENT * face.interocular:
        found.append(
            f"The face is small ({face.interocular:.0f} pixels between the eyes) and is enlarged "
            f"{wanted / face.interocular:.1f} times; fine detail is missing."
        )
    if ends_close:
        found.append("The photo ends close to the face; hair beyond its border is a guess.")
    if not NOTED_STRETCH[0] <= face.stretch <= NOTED_STRETCH[1]:
        shape = "wide" if face.stretch > 1 else "narrow"
        found.append(f"The face is unusually {shape}; if the photo was squeezed, restore its proportions.")
    if _paper(image) > NOTED_WHITE:
        found.append("Much of the face is white as paper (a drawing, or too much light); a photo is needed.")
    if face.score < NOTED_SCORE:
        found.append("The face is hard to see (hidden, dark or blurred); the result may not resemble it.")
    return found


def find_turned(
    image: Image.Image, detector: str = "bundled", weights_dir: str | Path | None = None
) -> tuple[int, list[Face], bool]:
    """Faces of a photo that may lie on its side or stand on its head.

    Upside down, a detector sees other faces in many photos. So unless the best score is high, the photo is
    searched in all four orientations, and the best score decides.

    Args:
        image: a photo.
        detector: see ``find_faces``.
        weights_dir: see ``find_faces``.

    Returns:
        By how many degrees clockwise the photo must be turned (0, 90, 180 or 270), the faces of the photo
        that is turned so, and whether another orientation is nearly as likely.
    """
    found = {0: find_faces(image, detector, weights_dir)}
    kept = max(map(_worth, found[0]), default=0.0)
    if kept >= CLEAR_SCORE:
        return 0, found[0], False
    found |= {turn: find_faces(turned(image, turn), detector, weights_dir) for turn in (90, 180, 270)}
    worth, turn = max((max(map(_worth, found[turn]), default=0.0), turn) for turn in (90, 180, 270))
    if not found[0]:
        return turn if worth else 0, found[turn], False
    best = max(found[turn], key=_worth, default=None)
    if best is None or abs(best.roll) > NOTED_ROLL:  # a head tilted by 45 degrees is no lying photo
        return 0, found[0], False
    if worth > kept + CLEAR_LEAD:
        return turn, found[turn], False
    return 0, found[0], worth > kept - CLEAR_LEAD


def _worth(face: Face) -> float:
    """The score, less if the head would be tilted: what looks like a face the wrong way up is often so."""
    return face.score - (2 * CLEAR_LEAD if abs(face.roll) > NOTED_ROLL else 0.0)


def turned(image: Image.Image, degrees: int) -> Image.Image:
    """A photo turned clockwise by 0, 90, 180 or 270 degrees."""
    return image.transpose(_TURNS[degrees]) if degrees else image


def lying(turn: int) -> str:
    """What is wrong with a photo that must be turned clockwise by so many degrees."""
    how = "is upside down" if turn == 180 else "lies on its side"
    return f"the photo {how}: turn it by {_WORDS[turn]}"


def align(
    image: Image.Image,
    face: int | Face | None = None,
    size: int = 256,
    detector: str = "bundled",
    weights_dir: str | Path | None = None,
    upright: bool = False,
) -> Aligned:
    """Cuts the canonical crop of one face out of a photo.

    Args:
        image: the photo.
        face: which face: an index into ``find_faces``, a ``Face`` found before, which is taken as
            it is, or None for the only or by far the largest one.
        size: side of the result in pixels.
        detector: see ``find_faces``.
        weights_dir: see ``find_faces``.
        upright: turns a photo that lies on its side or upside down, and says so in the warnings.

    Raises:
        NoFaceError: if none is found.
        LyingPhotoError: if the photo lies on its side or upside down, unless ``upright``.
        ManyFacesError: if several are found, none is by far the largest, and ``face`` is None.
        SmallFaceError: if the eyes are less than 12 pixels apart.
        TurnedFaceError: if the head is turned by more than 60 degrees.
        ConfigError: for a face index, size or detector that does not exist.
    """
    whole(size, "size", 16, MOST_SIZE)
    flag(upright, "upright")
    image = as_picture(image)
    turn, warnings = 0, []
    if isinstance(face, Face):
        chosen = face
    else:
        turn, faces, unclear = find_turned(image, detector, weights_dir)
        if not faces:
            raise NoFaceError(
                "no face was found: use a photo that shows one from the front, well lit, not covered, and "
                "not smaller than about a thirtieth of the photo"
            )
        if turn and not upright:
            raise LyingPhotoError(f"{lying(turn)}, or let upright=True (--upright) do so", turn)
        image = turned(image, turn)
        chosen, warnings = choose(faces, face)
        if turn:
            warnings.append(f"The photo was turned by {_WORDS[turn]}.")
        if unclear:
            warnings.append("It is not clear which way up the photo is; turn it if this is another face.")
    check(chosen)
    crop = Crop.from_points(chosen.points)
    ends_close = _ends_close(crop, image.size)
    # Repeated pixels give renders nearer to the whole photo's than white, which encoders take for bald heads.
    cut = crop.apply(image, size, fill=None if ends_close else 255)
    warnings += _warnings(chosen, cut, ends_close)
    return Aligned(cut, crop, chosen, tuple(warnings), turn)
