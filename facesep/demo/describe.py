"""What programs read about the endpoints: each parameter with its unit, range and an example."""

from __future__ import annotations

import json
from collections.abc import Iterable

from facesep.demo.limits import (
    BACKGROUNDS,
    DRIVE_SECONDS,
    MAX_FRAMES,
    MAX_PITCH,
    MAX_STRENGTH,
    MAX_YAW,
    SIZES,
    SMALL,
)

_FACE = "number of the face where the photo shows several, 0 for the largest; null where it shows one"
PARAMETERS = {
    "source": "photo of one face (JPEG, PNG, WebP, AVIF or HEIC, up to 32 MB): the face that is changed",
    "donor": "photo of the face that gives the attributes",
    "photo": "photo of a face (JPEG, PNG, WebP, AVIF or HEIC, up to 32 MB)",
    "attributes": 'names of attributes, e.g. ["hair", "expression"]',
    "strength": f"how much of the donor's attributes, 0 (none) to {MAX_STRENGTH} (exaggerated)",
    "source_face": _FACE,
    "donor_face": _FACE,
    "face": _FACE,
    "yaw": f"degrees that the head looks to a side, {-MAX_YAW:g} to {MAX_YAW:g}, 0 is straight ahead",
    "pitch": f"degrees that the head looks up or down, {-MAX_PITCH:g} to {MAX_PITCH:g}",
    "frames": f"frames of the video, 2 to {MAX_FRAMES}",
    "fps": "frames a second, 1 to 60",
    "video": f"video of a face that moves (MP4, WebM or MOV); its first {DRIVE_SECONDS} seconds count",
    "sound": "whether the result has the video's sound",
    "relative": "whether the face moves from where it is instead of as the video's",
    "moves": 'steps along sliders by name, -6 to 6, e.g. {"Smile": 1.5}; see the endpoint sliders',
    "include_identity": "must be true: codes identify the person",
    "file": "a picture or video",
    "name": "name of a model",
    "consent": "must be true: the people on the photos agree to this use",
    "refine": "whether diffusion invents detail on the result",
    "fit": "whether gradient steps bring the codes nearer to the photo (slower)",
    "plain": "whether to show the model's render without the photo's pixels",
    "background": f"one of {', '.join(BACKGROUNDS)}: behind the head, keep for the whole photo",
    "size": f"pixels along a side of the head, {SMALL // 2} to {SIZES[-1]}",
}
ATTRIBUTE = "photo whose {} is taken; null keeps the first photo's"
"""Of the parameters of mix that are named as attributes."""
_PHOTO = {"path": "anna.jpg"}
EXAMPLES = {
    "transfer": {"source": _PHOTO, "donor": {"path": "ben.jpg"}, "attributes": ["hair"], "consent": True},
    "mix": {"photo": _PHOTO, "hair": {"path": "ben.jpg"}, "consent": True},
    "render": {"photo": _PHOTO, "yaw": 20, "consent": True},
    "orbit": {"photo": _PHOTO, "frames": 60, "consent": True},
    "drive": {"photo": _PHOTO, "video": {"path": "talking.mp4"}, "consent": True},
    "sliders": {"photo": _PHOTO, "consent": True},
    "edit": {"photo": _PHOTO, "moves": {"Smile": 1.5}, "consent": True},
    "encode": {"photo": _PHOTO, "include_identity": True, "consent": True},
    "verify": {"file": {"path": "face.png"}},
    "choose_model": {"name": "mini"},
}


def described(name: str, text: str, parameters: Iterable[str]) -> str:
    """The docstring of an endpoint, in the form that gradio reads.

    Args:
        name: of the endpoint.
        text: what it does.
        parameters: names of its parameters, in their order.
    """
    lines = [f"    {one}: {PARAMETERS.get(one) or ATTRIBUTE.format(one)}" for one in parameters]
    return f"{text}\n\nFor example {json.dumps(EXAMPLES[name])}.\n\nArgs:\n" + "\n".join(lines)
