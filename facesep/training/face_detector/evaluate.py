"""How good the bundled detector is: found faces, precision of the points, false alarms, time.

Truth are the annotated landmarks of the validation portraits, which training never saw. A face counts as
found when a detected box shares at least 40 % of the union with the box of the annotated outline. The
error of the points is the mean distance of the five, as a share of the interocular distance.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from facesep.data.annotated import Source, face_box, read_sources
from facesep.faces import find_faces
from facesep.faces.types import Face
from facesep.training.face_detector.backgrounds import background, body, read_pictures, without_head
from facesep.training.face_detector.scenes import move
from facesep.training.face_detector.turned import turn

Detector = Callable[[Image.Image], list[Face]]
Sample = tuple[Image.Image, np.ndarray, np.ndarray, float]
"""A photo, its five points ``[5, 2]``, its outline ``[36, 2]`` and its yaw in degrees (or NaN)."""


def plain(source: Source) -> Sample:
    """The portrait as it is."""
    return Image.fromarray(source.pixels[..., :3]), source.points, source.outline, source.yaw


def rotated(source: Source, degrees: float) -> Sample:
    """The portrait turned clockwise in the plane, on a larger grey canvas."""
    photo, points, outline, _ = plain(source)
    turned = photo.rotate(-degrees, Image.BICUBIC, expand=True, fillcolor=(127, 127, 127))
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    linear = np.array(((cos, -sin), (sin, cos)))
    offset = np.array(turned.size) / 2 - linear @ (np.array(photo.size) / 2)
    matrix = np.column_stack((linear, offset))
    return turned, move(matrix, points), move(matrix, outline), float("nan")


def toned(source: Source, gain: float, gamma: float) -> Sample:
    """The portrait with other light: ``gain * value ** gamma``."""
    photo, *truth = plain(source)
    table = [min(255, round(255 * gain * (v / 255) ** gamma)) for v in range(256)]
    return photo.point(table * 3), *truth


def shrunk(source: Source, interocular: float, canvas: int | None = None) -> Sample:
    """The portrait shrunk to an interocular distance, alone or in the middle of a grey canvas."""
    photo, points, outline, yaw = plain(source)
    scale = min(1.0, interocular / float(np.linalg.norm(points[1] - points[0])))
    size = tuple(max(1, round(side * scale)) for side in photo.size)
    matrix = np.column_stack((np.diag(np.array(size) / photo.size), (0.0, 0.0)))
    photo = photo.resize(size, Image.LANCZOS)
    if canvas:
        corner = tuple((canvas - side) // 2 for side in size)
        sheet = Image.new("RGB", (canvas, canvas), (120, 125, 130))
        sheet.paste(photo, corner)
        photo, matrix = sheet, np.column_stack((matrix[:, :2], corner))
    return photo, move(matrix, points), move(matrix, outline), yaw


def covered(source: Source, top: float, bottom: float) -> Sample:
    """A flat bar over the face between two heights, as fractions of the face box from its top."""
    photo, points, outline, yaw = plain(source)
    box = face_box(outline)
    height = box[3] - box[1]
    area = (box[0] - 0.1 * height, box[1] + top * height, box[2] + 0.1 * height, box[1] + bottom * height)
    ImageDraw.Draw(photo).rectangle(area, fill=(60, 80, 110))
    return photo, points, outline, yaw


def half_covered(source: Source) -> Sample:
    """A flat bar over the image-left half of the face."""
    photo, points, outline, yaw = plain(source)
    box = face_box(outline)
    ImageDraw.Draw(photo).rectangle(
        (box[0] - 5, box[1] - 5, (box[0] + box[2]) / 2, box[3] + 5), fill=(60, 80, 110)
    )
    return photo, points, outline, yaw


def seen_from(source: Source, yaw: float) -> Sample:
    """A synthetic view with an absolute yaw, on grey; see ``facesep.training.face_detector.turned``."""
    view = turn(source, yaw - source.yaw, 0.0, size=288)
    pixels = np.where(view.pixels[..., 3:] == 255, 127, view.pixels[..., :3]).astype(np.uint8)
    return Image.fromarray(pixels), view.points, view.outline, view.yaw


CONDITIONS: dict[str, Callable[[Source, int], Sample]] = {
    "plain": lambda s, sign: plain(s),
    "bright: gamma 0.5": lambda s, sign: toned(s, 1.0, 0.5),
    "dark: gamma 2.5": lambda s, sign: toned(s, 1.0, 2.5),
    "dark: a tenth of the light": lambda s, sign: toned(s, 0.1, 1.0),
    "rotated 15": lambda s, sign: rotated(s, 15 * sign),
    "rotated 30": lambda s, sign: rotated(s, 30 * sign),
    "rotated 45": lambda s, sign: rotated(s, 45 * sign),
    "rotated 90": lambda s, sign: rotated(s, 90 * sign),
    "eyes 40 px apart": lambda s, sign: shrunk(s, 40),
    "eyes 20 px apart": lambda s, sign: shrunk(s, 20),
    "eyes 12 px apart": lambda s, sign: shrunk(s, 12),
    "eyes 8 px apart": lambda s, sign: shrunk(s, 8),
    "eyes 20 px apart in a photo of 1000": lambda s, sign: shrunk(s, 20, 1000),
    "eyes 12 px apart in a photo of 640": lambda s, sign: shrunk(s, 12, 640),
    "bar over the eyes": lambda s, sign: covered(s, 0.18, 0.43),
    "bar over the mouth": lambda s, sign: covered(s, 0.65, 0.9),
    "lower half covered": lambda s, sign: covered(s, 0.5, 1.05),
    "left half covered": lambda s, sign: half_covered(s),
    "turned 30 (synthetic)": lambda s, sign: seen_from(s, 30 * sign),
    "turned 45 (synthetic)": lambda s, sign: seen_from(s, 45 * sign),
    "turned 60 (synthetic)": lambda s, sign: seen_from(s, 60 * sign),
}
"""Name of a condition, and how a portrait is brought into it; the sign alternates over the photos."""


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes ``[4]``."""
    shared = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def measure(samples: Iterable[Sample], detector: Detector) -> dict[str, float]:
    """Share found, errors of the points in percent of the interocular distance, and further boxes.

    The interocular distance of a turned head is taken from the depth-free fit, so that it does not
    shrink with the turn.
    """
    errors, yaws, extra, count, seconds = [], [], 0, 0, 0.0
    for photo, points, outline, yaw in samples:
        count += 1
        began = time.perf_counter()
        faces = detector(photo)
        seconds += time.perf_counter() - began
        truth = face_box(outline)
        shared = [overlap(np.array(face.box), truth) for face in faces]
        best = int(np.argmax(shared)) if shared else -1
        hit = best >= 0 and shared[best] >= 0.4
        extra += len(faces) - int(hit)
        if hit:
            unit = Face(tuple(truth), points, 1.0, 0.0).interocular
            errors.append(float(np.linalg.norm(faces[best].points - points, axis=1).mean()) / unit)
            yaws.append(abs(faces[best].yaw - yaw))
    values = 100 * np.array(errors or [np.nan])
    yaws = np.array([v for v in yaws if np.isfinite(v)] or [np.nan])
    return {
        "photos": count,
        "found_percent": 100 * len(errors) / max(count, 1),
        "error_median": float(np.median(values)),
        "error_mean": float(values.mean()),
        "error_95": float(np.percentile(values, 95)),
        "yaw_error_median": float(np.median(yaws)),
        "further_boxes": extra,
        "seconds_per_photo": seconds / max(count, 1),
    }


def false_alarms(pictures: Iterable[Image.Image], detector: Detector) -> dict[str, float]:
    """How many pictures without a face yield one."""
    counts = [len(detector(picture)) for picture in pictures]
    return {
        "pictures": len(counts),
        "with_alarm": int(np.count_nonzero(counts)),
        "percent": 100 * float(np.mean(np.array(counts) > 0)) if counts else float("nan"),
    }


def _headless(sources: list[Source]) -> Iterator[Image.Image]:
    rng = np.random.default_rng(99)
    for source in sources:
        yield without_head(rng, source)


def _procedural(sources: list[Source], count: int) -> Iterator[Image.Image]:
    rng = np.random.default_rng(98)
    for _ in range(count):
        yield background(rng, sources, [], 400)


def evaluate(portraits: Path, backgrounds: list[Path], detector: Detector = find_faces) -> dict:
    """All measurements on the validation split.

    Args:
        portraits: annotated portraits, see ``facesep.training.face_detector.sources``.
        backgrounds: folders of pictures that show no face.
        detector: what to measure.

    Returns:
        ``{"threads", "conditions": {name: numbers}, "false_alarms": {name: numbers}}``.
    """
    sources = list(read_sources(portraits, "val"))
    report: dict = {"threads": torch.get_num_threads(), "conditions": {}, "false_alarms": {}}
    detector(Image.fromarray(sources[0].pixels[..., :3]))  # the first call reads the weights
    for name, condition in CONDITIONS.items():
        samples = (condition(source, 1 if i % 2 else -1) for i, source in enumerate(sources))
        report["conditions"][name] = measure(samples, detector)
    aside = [source for source in sources if abs(source.yaw) > 15]
    report["conditions"]["real photos turned more than 15"] = measure(map(plain, aside), detector)
    bodies = [part for part in map(body, sources) if part]
    for name, pictures in (
        ("portraits without head", _headless(sources)),
        ("bodies below the chin", bodies),
        ("procedural", _procedural(sources, len(sources))),
        *((folder.name, read_pictures(folder, 1024)) for folder in backgrounds),
    ):
        report["false_alarms"][name] = false_alarms(pictures, detector)
    return report


def as_markdown(report: dict) -> str:
    """The report as two tables."""
    lines = [
        "| condition | photos | found % | median error % | mean % | 95th % | yaw | further boxes | s/photo |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in report["conditions"].items():
        lines.append(
            f"| {name} | {row['photos']} | {row['found_percent']:.1f} | {row['error_median']:.2f} | "
            f"{row['error_mean']:.2f} | {row['error_95']:.1f} | {row['yaw_error_median']:.1f} | "
            f"{row['further_boxes']} | {row['seconds_per_photo']:.3f} |"
        )
    lines += ["", "| pictures without a face | count | with an alarm | % |", "|---|---|---|---|"]
    for name, row in report["false_alarms"].items():
        lines.append(f"| {name} | {row['pictures']} | {row['with_alarm']} | {row['percent']:.2f} |")
    return "\n".join(lines)
