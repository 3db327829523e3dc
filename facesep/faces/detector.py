"""Finding faces in photos with the bundled networks: no network connection, no further package."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load
from torch import nn

from facesep.errors import CheckpointError
from facesep.faces.networks import FINDER_STRIDE, POINTER_SIZE, Finder, Pointer
from facesep.faces.types import Face
from facesep.precision import full_precision

LEVELS = (640, 256)
"""Longest sides at which a photo is searched: small faces show in the first, faces that fill the photo in
the second."""
FINDER_SCORE = 0.25
"""Least score of a finder's guess that the pointer looks at."""
FACE_SCORE = 0.5
"""Least score of a face of at least ``CLEAR_SIZE`` pixels, see ``detect``."""
TINY_SCORE = 0.8
"""Least score of a face of ``TINY_SIZE`` pixels or less: at that size badges and leaves resemble faces."""
TRACKED = 0.8
"""Least probability of a face that is followed from picture to picture."""
CLEAR_SIZE = 32.0
TINY_SIZE = 16.0
"""Face sizes (mean of width and height) in pixels of the finest search."""
OVERLAP = 0.4
"""Boxes that share more of their union than this are the same face."""
WINDOW = 1.5
"""Side of the pointer's first window as a multiple of the face size; the same as in training."""
POINTER_TEMPLATE = np.array(
    ((0.3641, 0.363), (0.6359, 0.363), (0.5, 0.5148), (0.3682, 0.6353), (0.6318, 0.6353)), np.float64
)
"""Where the five points of the mean training portrait lie in the pointer's window, as fractions."""
MIRRORED_FIVE = (1, 0, 2, 4, 3)
"""Order of the five points in a mirrored picture."""
MAX_FACES = 50
"""More guesses than this are dropped, lowest score first."""


@lru_cache(maxsize=2)
def _network(name: str) -> nn.Module:
    """A bundled network by name (``finder``, ``pointer``), read once per process.

    Raises:
        CheckpointError: if the bundled file is missing or damaged.
    """
    try:
        data = resources.files("facesep").joinpath("assets", "faces", f"{name}.safetensors").read_bytes()
        weights = {key: value.float() for key, value in load(data).items()}
        network = Finder() if name == "finder" else Pointer()
        for key, value in network.state_dict().items():
            if key.endswith("num_batches_tracked"):
                weights.setdefault(key, value)
        network.load_state_dict(weights)
    except Exception as error:
        raise CheckpointError(
            f"the bundled face detector ({name}.safetensors) cannot be read: reinstall facesep ({error})"
        ) from error
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _to_input(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float().div(127.5).sub(1)


@torch.inference_mode()
def guess(finder: nn.Module, image: Image.Image, longest: int, least: float = FINDER_SCORE) -> np.ndarray:
    """One search with the finder.

    Args:
        finder: the network, in evaluation mode.
        image: RGB.
        longest: the longest side at which the photo is searched, pixels.
        least: score below which a peak does not count.

    Returns:
        ``[N, 5]``: left, top, right, bottom in pixels of ``image``, and the score.
    """
    scale = min(1.0, longest / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    picture = image.resize((width, height), Image.BILINEAR, reducing_gap=3.0) if scale < 1 else image
    padded = np.full((-(-height // 32) * 32, -(-width // 32) * 32, 3), 127, np.uint8)
    padded[:height, :width] = np.asarray(picture)
    centre, sides = finder(_to_input(padded).contiguous(memory_format=torch.channels_last))
    score = centre.sigmoid()[0]
    peak = nn.functional.max_pool2d(score[None], 3, 1, 1)[0] == score
    rows, columns = torch.nonzero(peak & (score > least), as_tuple=True)
    reach = sides[0, :, rows, columns].clamp(-4, 6).exp()
    x, y = columns + 0.5, rows + 0.5
    boxes = torch.stack((x - reach[0], y - reach[1], x + reach[2], y + reach[3]), -1) * FINDER_STRIDE
    factor = torch.tensor((image.width / width, image.height / height) * 2)
    return torch.cat((boxes * factor, score[rows, columns, None]), -1).double().numpy()


def suppress(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Greedy non-maximum suppression: indices that stay, best first.

    A box goes when it shares more than ``OVERLAP`` of its union with a better one, or lies within it by
    three quarters.

    Args:
        boxes: ``[N, 4]``.
        scores: ``[N]``.
    """
    area = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        low = np.maximum(boxes[index, :2], boxes[kept, :2]) if kept else np.zeros((0, 2))
        high = np.minimum(boxes[index, 2:], boxes[kept, 2:]) if kept else np.zeros((0, 2))
        shared = np.maximum(high - low, 0).prod(-1)
        union = area[index] + area[kept] - shared if kept else shared
        smaller = np.minimum(area[index], area[kept]) if kept else shared
        if not ((shared > OVERLAP * union) | (shared > 0.75 * smaller)).any():
            kept.append(int(index))
    return kept


def least_score(size: np.ndarray) -> np.ndarray:
    """Which score a face needs, by its size in pixels of the finest search: linear between the two."""
    share = np.clip((CLEAR_SIZE - size) / (CLEAR_SIZE - TINY_SIZE), 0.0, 1.0)
    return FACE_SCORE + (TINY_SCORE - FACE_SCORE) * share


def distinct(centres: np.ndarray, sizes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Indices, best first, without those whose points have settled on the face of a better guess.

    Args:
        centres: ``[N, 2]`` mean of the five points.
        sizes: ``[N]`` face sizes; centres nearer than half the larger size are the same face.
        scores: ``[N]``.
    """
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        apart = np.linalg.norm(centres[index] - centres[kept], axis=-1) if kept else np.zeros(0)
        if not (apart < 0.5 * np.maximum(sizes[index], sizes[kept] if kept else 0.0)).any():
            kept.append(int(index))
    return kept


def window_matrix(
    points: np.ndarray, template: np.ndarray = POINTER_TEMPLATE, size: int = POINTER_SIZE
) -> np.ndarray:
    """The similarity from a crop to the photo that lays the template on five points (least squares).

    Args:
        points: ``[5, 2]`` pixels of the photo.
        template: ``[5, 2]`` fractions of the crop.
        size: side of the crop in pixels.

    Returns:
        ``[2, 3]``: a pixel of the crop to a pixel of the photo.
    """
    source = (template * size) @ (1, 1j)
    target = points @ (1, 1j)
    centred = source - source.mean()
    factor = (centred.conj() * (target - target.mean())).sum() / (abs(centred) ** 2).sum()
    offset = target.mean() - factor * source.mean()
    return np.array(
        ((factor.real, -factor.imag, offset.real), (factor.imag, factor.real, offset.imag)), np.float64
    )


def cut(image: Image.Image, matrix: np.ndarray, size: int = POINTER_SIZE) -> np.ndarray:
    """``uint8[size, size, 3]`` of a photo under a crop-to-photo matrix, anti-aliased, black outside."""
    corners = np.array(((0, 0), (size, 0), (0, size), (size, size))) @ matrix[:, :2].T + matrix[:, 2]
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    x0, y0 = np.maximum(np.floor(corners.min(0)) - 2, 0).astype(int)
    x1, y1 = np.minimum(np.ceil(corners.max(0)) + 2, image.size).astype(int)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((size, size, 3), np.uint8)
    factor = max(1, int(scale))
    part = image.reduce(factor, box=(int(x0), int(y0), int(x1), int(y1)))
    inner = np.column_stack((matrix[:, :2], matrix[:, 2] - (x0, y0))) / factor
    moved = part.transform((size, size), Image.AFFINE, tuple(inner.reshape(-1)), Image.BILINEAR)
    return np.asarray(moved)


def _point(
    image: Image.Image, matrices: list[np.ndarray], mirrored: bool
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Points in the photo, yaw in degrees and face probability for each window.

    With ``mirrored`` each window is also read in the mirror and the two answers are averaged: a little
    more precise, and a mirrored photo gives the mirrored points.
    """
    inputs = torch.cat([_to_input(cut(image, matrix).copy()) for matrix in matrices])
    network = _network("pointer")
    points, yaw, face = network(inputs.contiguous(memory_format=torch.channels_last))
    if mirrored:
        flipped = network(inputs.flip(-1).contiguous(memory_format=torch.channels_last))
        back = flipped[0][:, list(MIRRORED_FIVE)] * torch.tensor((-1.0, 1.0)) + torch.tensor((1.0, 0.0))
        points, yaw, face = (points + back) / 2, (yaw - flipped[1]) / 2, (face + flipped[2]) / 2
    fractions = points.double().numpy() * POINTER_SIZE
    placed = [p @ m[:, :2].T + m[:, 2] for p, m in zip(fractions, matrices, strict=True)]
    return placed, np.degrees(yaw.double().numpy()), face.sigmoid().double().numpy()


@full_precision
def detect(image: Image.Image) -> list[Face]:
    """All faces of a photo, by the bundled networks.

    The finder searches the photo at two sizes. The pointer looks at each guess twice: upright, then in a
    window that its own points have straightened. The score is the geometric mean of the finder's and the
    pointer's second opinion.

    Args:
        image: RGB, upright.

    Returns:
        Faces that reach ``least_score``, largest first.

    Raises:
        CheckpointError: if the bundled weights are missing or damaged.
    """
    with torch.inference_mode():
        levels = [LEVELS[0]] if max(image.size) <= LEVELS[1] else LEVELS
        guesses = np.concatenate([guess(_network("finder"), image, longest) for longest in levels])
        if not len(guesses):
            return []
        guesses = guesses[suppress(guesses[:, :4], guesses[:, 4])][:MAX_FACES]
        windows = []
        for left, top, right, bottom, _ in guesses:
            side = WINDOW * (right - left + bottom - top) / 2 / POINTER_SIZE
            corner = (left + right - side * POINTER_SIZE) / 2, (top + bottom - side * POINTER_SIZE) / 2
            windows.append(np.array(((side, 0, corner[0]), (0, side, corner[1]))))
        rough, _, _ = _point(image, windows, mirrored=False)
        points, yaws, sure = _point(image, [window_matrix(five) for five in rough], mirrored=True)
    scores = np.sqrt(guesses[:, 4] * sure)
    sizes = (guesses[:, 2:4] - guesses[:, :2]).mean(-1)
    enough = scores >= least_score(sizes * min(1.0, LEVELS[0] / max(image.size)))
    faces = [
        Face(
            tuple(float(v) for v in guesses[index, :4]),
            points[index],
            float(scores[index]),
            float(yaws[index]),
        )
        for index in distinct(np.array([five.mean(0) for five in points]), sizes, scores)
        if enough[index]
    ]
    return sorted(faces, key=lambda face: -face.area)


@full_precision
def track(image: Image.Image, last: Face) -> Face | None:
    """The face of the next picture of a video, near to where it was: the pointer alone looks, which is quick.

    Args:
        image: RGB, of the size of the picture before.
        last: the face there.

    Returns:
        The face; None where it is lost, so that ``detect`` has to look again.
    """
    with torch.inference_mode():
        (one,), _, _ = _point(image, [window_matrix(last.points)], mirrored=True)
        (other,), (yaw,), (sure,) = _point(image, [window_matrix(one)], mirrored=True)
    points = (one + other) / 2  # from a window to the next answers go to and fro
    if sure < TRACKED:
        return None
    low, high = points.min(0), points.max(0)
    before = last.points.min(0), last.points.max(0)
    if not 0.5 < np.linalg.norm(high - low) / np.linalg.norm(before[1] - before[0]) < 2:
        return None
    box = tuple(
        float(value) for value in (*(last.box[:2] + low - before[0]), *(last.box[2:] + high - before[1]))
    )
    return Face(box, points, float(sure), float(yaw))
