"""What a finder takes for a face and is none: hard negatives for the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from facesep.faces.detector import cut
from facesep.faces.networks import FINDER_STRIDE, Finder
from facesep.training.faces.backgrounds import background
from facesep.training.faces.face_crops import CROP_REACH, CROP_SIDE
from facesep.training.faces.sources import Source


def mine(
    weights: Path,
    straight: Sequence[Source],
    pictures: Sequence[Image.Image],
    count: int,
    least: float = 0.08,
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
        ``uint8[208, 208, 3]`` crops, framed as the pointer's training crops of faces are.
    """
    finder = Finder().eval()
    finder.load_state_dict(load_file(weights))
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        picture = background(rng, straight, pictures, 320)
        values = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            centre, sides = finder(values)
        score, index = centre.sigmoid().flatten().max(0)
        if score < least:
            continue
        row, column = divmod(int(index), centre.shape[-1])
        left, top, right, bottom = (sides[0, :, row, column].exp() * FINDER_STRIDE).tolist()
        x, y = (column + 0.5) * FINDER_STRIDE, (row + 0.5) * FINDER_STRIDE
        reach = CROP_REACH * (left + top + right + bottom) / 2 / CROP_SIDE
        middle = (2 * x + right - left) / 2, (2 * y + bottom - top) / 2
        corner = (middle[0] - reach * CROP_SIDE / 2, middle[1] - reach * CROP_SIDE / 2)
        found.append(cut(picture, np.array(((reach, 0, corner[0]), (0, reach, corner[1]))), CROP_SIDE))
    return found
