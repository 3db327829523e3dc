"""Composites: annotated portraits pasted on pictures without a face, with light, blur and hidden parts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from facesep.data.annotated import Source, face_box
from facesep.faces.detector import MIRRORED_FIVE
from facesep.training.face_detector.backgrounds import background, colour, noise


@dataclass
class Scene:
    """A composed photo and its faces.

    Attributes:
        image: RGB.
        boxes: ``[N, 4]`` left, top, right, bottom in pixels.
        points: ``[N, 5, 2]`` pixels, image left first.
        yaws: ``[N]`` degrees.
    """

    image: Image.Image
    boxes: np.ndarray
    points: np.ndarray
    yaws: np.ndarray


def similarity(
    rng: np.random.Generator, source: Source, width: float, target: np.ndarray, angle: float
) -> tuple[np.ndarray, bool]:
    """A 2 x 3 matrix that takes source pixels to scene pixels, and whether it mirrors.

    Args:
        rng: decides on mirroring.
        source: the portrait.
        width: size (mean of width and height) of its face in the scene, pixels.
        target: ``[2]`` where the middle of the face goes.
        angle: in-plane rotation, degrees.
    """
    box = face_box(source.outline)
    scale = width / ((box[2] - box[0] + box[3] - box[1]) / 2)
    mirror = bool(rng.random() < 0.5)
    cos, sin = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    matrix = np.array(((cos, -sin), (sin, cos))) @ np.diag((-1.0 if mirror else 1.0, 1.0))
    return np.column_stack((matrix, target - matrix @ ((box[:2] + box[2:]) / 2))), mirror


def move(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Applies a 2 x 3 matrix to ``[N, 2]`` points."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def paste(canvas: Image.Image, source: Source, matrix: np.ndarray, cut: bool, feather: float) -> None:
    """Pastes a portrait under a similarity; ``cut`` leaves out its background."""
    photo, label = Image.fromarray(source.pixels[..., :3]), source.pixels[..., 3]
    alpha = Image.fromarray(np.where((label == 255) | (cut & (label == 0)), 0, 255).astype(np.uint8))
    shrink = 1.0 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    factor = int(shrink)
    full = np.vstack((matrix, (0, 0, 1)))
    if factor > 1:  # anti-aliasing: the affine transform of PIL only interpolates
        photo, alpha = photo.reduce(factor), alpha.reduce(factor)
        full = full @ np.diag((factor, factor, 1.0))
    corners = np.array(((0, 0), (photo.width, 0), (0, photo.height), photo.size), float)
    moved = move(full[:2], corners)
    x0, y0 = np.maximum(np.floor(moved.min(0)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(moved.max(0)), canvas.size).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    back = np.linalg.inv(full) @ np.array(((1, 0, x0), (0, 1, y0), (0, 0, 1.0)))
    size, data = (int(x1 - x0), int(y1 - y0)), tuple(back[:2].reshape(-1))
    patch = photo.transform(size, Image.AFFINE, data, Image.BICUBIC)
    mask = alpha.transform(size, Image.AFFINE, data, Image.BILINEAR)
    if feather:
        mask = mask.filter(ImageFilter.GaussianBlur(feather))
    canvas.paste(patch, (int(x0), int(y0)), mask)


def hide_part(rng: np.random.Generator, canvas: Image.Image, box: np.ndarray) -> None:
    """Covers up to about half of a face by a bar, a blob or a textured patch."""
    width, height = box[2:] - box[:2]
    draw = ImageDraw.Draw(canvas)
    if rng.random() < 0.4:  # a bar over the eyes, the mouth or one side
        thick = rng.uniform(0.12, 0.4)
        if rng.random() < 0.7:
            y = box[1] + height * rng.uniform(0, 1 - thick)
            area = (box[0] - 5, y, box[2] + 5, y + thick * height)
        else:
            x = box[0] + width * rng.choice((0.0, 1 - thick))
            area = (x, box[1] - 5, x + thick * width, box[3] + 5)
        draw.rectangle(area, fill=colour(rng))
        return
    w, h = width * rng.uniform(0.2, 0.7), height * rng.uniform(0.2, 0.7)
    x, y = box[0] + rng.uniform(-0.3, 1) * width, box[1] + rng.uniform(-0.3, 1) * height
    if rng.random() < 0.5:
        draw.ellipse((x, y, x + w, y + h), fill=colour(rng))
    else:
        patch = noise(rng, 32).resize((max(1, int(w)), max(1, int(h))))
        canvas.paste(patch, (int(x), int(y)))


def develop(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Light, colour, blur and noise of a bad camera."""
    pixels = np.asarray(image).astype(np.float32) / 255
    if rng.random() < 0.5:
        pixels = pixels ** np.exp(rng.normal(0, 0.4))
    if rng.random() < 0.15:
        pixels = pixels * rng.uniform(0.12, 0.7)
    if rng.random() < 0.5:
        pixels = (pixels - 0.5) * rng.uniform(0.5, 1.5) + 0.5 + rng.uniform(-0.15, 0.15)
    if rng.random() < 0.4:
        pixels = pixels * rng.uniform(0.75, 1.25, 3).astype(np.float32)
    if rng.random() < 0.25:
        grey = pixels.mean(-1, keepdims=True)
        pixels = grey + (pixels - grey) * rng.choice((0.0, 0.3, 1.6))
    if rng.random() < 0.2:  # light from one side
        y, x = np.mgrid[0 : image.height, 0 : image.width] / max(image.size)
        angle = rng.uniform(0, 2 * np.pi)
        pixels = pixels * (
            1 + rng.uniform(0.5, 1.8) * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
        )[..., None].astype(np.float32)
    if rng.random() < 0.3:
        pixels = pixels + rng.normal(0, rng.uniform(0.01, 0.08), pixels.shape).astype(np.float32)
    result = Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.25:
        result = result.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    if rng.random() < 0.15:
        small = tuple(max(16, int(v * rng.uniform(0.35, 0.8))) for v in result.size)
        result = result.resize(small, Image.BILINEAR).resize(result.size, Image.BICUBIC)
    return result


def _angle(rng: np.random.Generator) -> float:
    return float(rng.uniform(-45, 45) if rng.random() < 0.3 else np.clip(rng.normal(0, 10), -30, 30))


def compose(
    rng: np.random.Generator,
    sources: Sequence[Source],
    straight: Sequence[Source],
    pictures: Sequence[Image.Image],
    side: int,
) -> Scene:
    """One square scene with 0 to 4 faces.

    Args:
        rng: decides everything.
        sources: portraits to paste.
        straight: portraits whose heads can be painted out: not the synthetic views, whose outline does
            not enclose the face.
        pictures: further pictures without a face.
        side: pixels.
    """
    canvas = background(rng, straight, pictures, side)
    count = int(rng.choice(5, p=(0.22, 0.45, 0.18, 0.1, 0.05)))
    boxes, points, yaws, taken = [], [], [], []
    for _ in range(count):
        source = sources[int(rng.integers(len(sources)))]
        largest = side * (1.0 if count == 1 else 0.45)
        for _ in range(6):
            width = float(np.exp(rng.uniform(np.log(14), np.log(largest))))
            reach = np.clip(0.42 * width, 4, side / 2)
            target = rng.uniform(reach, side - reach, 2)
            matrix, mirror = similarity(rng, source, width, target, _angle(rng))
            outline = move(matrix, source.outline)
            box = face_box(outline)
            photo = np.array(((0, 0), source.pixels.shape[1::-1]), float)
            area = face_box(move(matrix, np.array((photo[0], (photo[1, 0], 0), (0, photo[1, 1]), photo[1]))))
            if all(
                area[2] < old[0] or old[2] < area[0] or area[3] < old[1] or old[3] < area[1] for old in taken
            ):
                break
        else:
            continue
        cut = bool(rng.random() < 0.45)
        paste(canvas, source, matrix, cut, rng.uniform(0.3, 1.5) if rng.random() < 0.7 else 0.0)
        five = move(matrix, source.points)
        boxes.append(box)
        points.append(five[list(MIRRORED_FIVE)] if mirror else five)
        yaws.append(-source.yaw if mirror else source.yaw)
        taken.append(box)
    for box in boxes:
        if rng.random() < 0.22:
            hide_part(rng, canvas, box)
    return Scene(
        develop(rng, canvas),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(points, np.float32).reshape(-1, 5, 2),
        np.array(yaws, np.float32),
    )


def as_jpeg(rng: np.random.Generator, image: Image.Image) -> bytes:
    """The image as JPEG of a random quality between 25 and 95."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(rng.integers(25, 96)))
    return stream.getvalue()
