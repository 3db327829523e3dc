"""What a finder takes for a face and is none: hard negatives for the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from facesep.data.annotated import Source
from facesep.faces.detector import cut, guess, suppress
from facesep.faces.networks import Finder
from facesep.training.face_detector.backgrounds import background, body, without_head
from facesep.training.face_detector.face_crops import CROP_REACH, CROP_SIDE

PER_PICTURE = 3
"""So many false alarms of one picture are kept at most."""


def _picture(
    rng: np.random.Generator, straight: Sequence[Source], pictures: Sequence[Image.Image]
) -> Image.Image:
    """A composed picture without a face, a body below the chin, or a portrait with its head painted over."""
    kind, source = rng.random(), straight[int(rng.integers(len(straight)))]
    if kind < 0.5:
        return background(rng, straight, pictures, 320)
    part = body(source) if kind < 0.75 else None
    picture = part or without_head(rng, source)
    longest = int(rng.uniform(160, 640))  # the finder meets photos at many scales
    scale = longest / max(picture.size)
    return picture.resize([max(32, round(side * scale)) for side in picture.size], Image.BICUBIC)


def mine(
    weights: Path,
    straight: Sequence[Source],
    pictures: Sequence[Image.Image],
    count: int,
    least: float = 0.06,
    seed: int = 21,
) -> list[np.ndarray]:
    """Searches pictures without a face and cuts out what scores highest in each.

    Args:
        weights: of the finder, safetensors.
        straight: portraits whose heads are painted out.
        pictures: further pictures without a face.
        count: how many pictures to search.
        least: scores below this are not worth keeping.
        seed: of the pictures.

    Returns:
        ``uint8[176, 176, 3]`` crops, framed as the pointer's training crops of faces are.
    """
    finder = Finder().eval()
    finder.load_state_dict(load_file(weights))
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        picture = _picture(rng, straight, pictures)
        guesses = guess(finder, picture, max(picture.size), least)
        for left, top, right, bottom, _ in guesses[suppress(guesses[:, :4], guesses[:, 4])][:PER_PICTURE]:
            reach = CROP_REACH * (right - left + bottom - top) / 2 / CROP_SIDE
            corner = (left + right - reach * CROP_SIDE) / 2, (top + bottom - reach * CROP_SIDE) / 2
            found.append(cut(picture, np.array(((reach, 0, corner[0]), (0, reach, corner[1]))), CROP_SIDE))
    return found
