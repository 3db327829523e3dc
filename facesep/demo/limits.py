"""What one visitor may ask of the page, and for how long anything is kept."""

from __future__ import annotations

from facesep.errors import CodesError, ConfigError

MAX_UPLOAD = "32mb"
"""Largest file of a visitor: photos of 48 megapixels take 10 to 25 MB."""
QUEUE = 64
"""Requests that may wait: when all places are taken, and for a moment when many come at once."""
MAX_PICTURES, MAX_VIDEOS = 64, 8
"""Requests that have a place at a time: they take turns to compute."""
KEEP_SECONDS = 900
"""Longest time that codes, pictures and videos are kept after their last use."""
SWEEP_SECONDS = 60
"""Time between two looks for what has grown too old."""
MAX_SESSIONS = 256
"""Visitors whose codes are kept at a time; the one idle for longest goes first."""
MAX_YAW, MAX_PITCH = 60.0, 30.0
"""Degrees to which a head can be turned on the page."""
MAX_FRAMES = 120
"""Frames of the longest video."""
DRIVE_FPS = 15
"""Frames per second at which the video that moves a face is looked at."""
DRIVE_SECONDS = MAX_FRAMES // DRIVE_FPS
MAX_SECONDS = 240
"""Longest time for one video; the visitor can stop it before."""
SIZES = (512, 1024)
"""Sides of a head that can be chosen, in pixels; a photo it stands in is at most twice as long.
The page begins with the first."""
MAX_FRAME = 2**18
"""Most characters of a frame of the webcam; one of 320 pixels has a tenth of it."""
SMALL = 256
"""Side of pictures that move while one looks at them."""
BACKGROUNDS = ("keep", "white", "transparent")
"""What a result can stand on; ``keep`` is its photo."""
MAX_STRENGTH = 1.5
MAX_DONORS = 4
"""Faces that one mix takes something from."""
MAX_PHOTOS = 8
"""Photos of one visit whose faces are kept, so that none is read twice; the oldest goes first."""
MAX_LISTED_FACES = 9
"""Faces of one photo that are offered for a choice, largest first."""

CONSENT = (
    "The photos show me, or people who agreed to this. Nobody in them is a minor. Where I show a result, "
    "I will say that a machine made it."
)
KEEP_CODES = (
    "I may keep these codes. They identify the person like a fingerprint; laws on biometric data apply."
)


def check_consent(consent: bool) -> None:
    """Refuses to work without consent.

    Raises:
        ConfigError: unless ``consent`` is exactly true.
    """
    if consent is not True:
        raise ConfigError(
            "consent is needed first: tick the box at the top (in the API: consent=True). By it you say: "
            + CONSENT
        )


def check_donors(count: int) -> None:
    """Refuses a mix of no other face or of too many.

    Raises:
        CodesError: if it is one.
    """
    if not 1 <= count <= MAX_DONORS:
        problem = f"a mix takes from 1 to {MAX_DONORS} other faces, got {count}"
        raise CodesError(f"{problem}: add or remove some")


def check_range(name: str, value: float, low: float, high: float) -> float:
    """A number within limits.

    Raises:
        ConfigError: if it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{name} must be a number from {low:g} to {high:g}")
    return value


def check_look(background: str, size: int) -> None:
    """Refuses a background or a size that is not offered.

    Raises:
        ConfigError: if it is one.
    """
    if background not in BACKGROUNDS:
        raise ConfigError(f"background must be one of {', '.join(BACKGROUNDS)}")
    if isinstance(size, bool) or size != check_range("size", size, SMALL // 2, SIZES[-1]) // 1:
        raise ConfigError("size must be a whole number of pixels")
