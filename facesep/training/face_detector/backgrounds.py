"""Pictures without a face: painted-out portraits, body crops, procedural textures, drawn shapes.

Every function takes a ``numpy`` generator and returns an RGB ``PIL.Image`` of the asked side, so that a
seed gives the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from facesep.data.annotated import Source

_WORDS = ("the", "face", "of", "a", "photo", "light", "&", "shade,", "1234567890", "more;", "QUICK", "fox")


def read_pictures(folder: Path | None, side: int = 512) -> list[Image.Image]:
    """Pictures of a folder, shrunk to ``side``; an empty list for no folder."""
    pictures = []
    for path in sorted(folder.iterdir()) if folder else []:
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
            picture = Image.open(path).convert("RGB")
            picture.thumbnail((side, side))
            pictures.append(picture)
    return pictures


def colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Any colour; in one case of four a colour of skin."""
    if rng.random() < 0.25:
        light = rng.uniform(60, 240)
        red_to_green, green_to_blue = rng.uniform(1.1, 1.5), rng.uniform(1.0, 1.4)
        values = (light, light / red_to_green, light / red_to_green / green_to_blue)
        return tuple(int(v) for v in values)
    return tuple(int(v) for v in rng.integers(0, 256, 3))


def noise(rng: np.random.Generator, side: int) -> Image.Image:
    """Fractal noise: octaves of random grids in random colours."""
    total = np.zeros((side, side, 3), np.float32)
    falloff = rng.uniform(0.4, 1.1)
    grey = rng.random() < 0.4
    for octave in range(1, 8):
        cells = 2**octave
        grid = rng.normal(size=(cells, cells, 1 if grey else 3)).astype(np.float32) * falloff**octave
        for band in range(3):
            layer = Image.fromarray(grid[..., 0 if grey else band], "F")
            total[..., band] += np.asarray(layer.resize((side, side), Image.BICUBIC))
    total = (total - total.mean()) / (total.std() + 1e-6)
    low, high = np.array(colour(rng), np.float32), np.array(colour(rng), np.float32)
    mixed = low + (high - low) / (1 + np.exp(-rng.uniform(0.5, 3) * total))
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def gradient(rng: np.random.Generator, side: int) -> Image.Image:
    """A linear or round gradient between two colours, sometimes striped."""
    y, x = np.mgrid[0:side, 0:side] / side
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        ramp = x * np.cos(angle) + y * np.sin(angle)
    else:
        ramp = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
    if rng.random() < 0.4:
        ramp = 0.5 + 0.5 * np.sin(ramp * rng.uniform(10, 150))
        if rng.random() < 0.5:
            ramp = np.round(ramp)
    ramp = ((ramp - ramp.min()) / (np.ptp(ramp) + 1e-6))[..., None]
    low, high = np.array(colour(rng)), np.array(colour(rng))
    return Image.fromarray((low + (high - low) * ramp).astype(np.uint8))


def draw_shapes(rng: np.random.Generator, image: Image.Image, count: int) -> None:
    """Draws ellipses, polygons, lines, words and dolls (an ellipse with dots for eyes) in place."""
    draw = ImageDraw.Draw(image)
    side = image.width
    for _ in range(count):
        size = side * np.exp(rng.uniform(np.log(0.04), np.log(0.7)))
        x, y = rng.uniform(-0.1, 1.0, 2) * side
        kind = rng.integers(0, 6)
        w, h = size * rng.uniform(0.5, 1.5), size * rng.uniform(0.5, 1.5)
        if kind == 0:
            draw.ellipse((x, y, x + w, y + h), fill=colour(rng))
        elif kind == 1:
            corners = rng.uniform(-0.5, 0.5, (int(rng.integers(3, 7)), 2)) * size + (x, y)
            draw.polygon([tuple(corner) for corner in corners], fill=colour(rng))
        elif kind == 2:
            draw.rectangle((x, y, x + w, y + h), fill=colour(rng))
        elif kind == 3:
            ends = tuple(rng.uniform(0, side, 4))
            draw.line(ends, fill=colour(rng), width=int(rng.integers(1, 12)))
        elif kind == 4:
            font = ImageFont.load_default(size=max(7, size * 0.3))
            for line in range(int(rng.integers(1, 5))):
                words = " ".join(rng.choice(_WORDS, 3))
                draw.text((x, y + line * size * 0.36), words, fill=colour(rng), font=font)
        else:
            _draw_doll(rng, draw, x, y, w, h)


def _draw_doll(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, x: float, y: float, w: float, h: float
) -> None:
    draw.ellipse((x, y, x + w, y + h), fill=colour(rng))
    dot, dark = 0.05 * w + 1, colour(rng)
    for side in (0.3, 0.7):
        if rng.random() < 0.7:
            cx, cy = x + side * w, y + 0.4 * h
            draw.ellipse((cx - dot, cy - dot, cx + dot, cy + dot), fill=dark)
    if rng.random() < 0.5:
        box = (x + 0.3 * w, y + 0.5 * h, x + 0.7 * w, y + 0.8 * h)
        draw.arc(box, 10, 170, fill=dark, width=max(1, int(0.04 * w)))


def without_head(rng: np.random.Generator, source: Source) -> Image.Image:
    """A portrait whose head is painted over.

    The head (hair, face and a margin) becomes a flat colour, a blurred surrounding, or the face alone
    is filled with blurred skin, which leaves a head of hair around nothing.
    """
    photo = Image.fromarray(source.pixels[..., :3])
    label = source.pixels[..., 3]
    unit = float(np.linalg.norm(source.points[1] - source.points[0]))
    outline = source.outline.mean(0) + (source.outline - source.outline.mean(0)) * 1.25
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).polygon([tuple(p) for p in outline.tolist()], fill=255)
    if rng.random() < 0.3:  # a faceless head: skin, hair and neck stay
        blurred = photo.filter(ImageFilter.GaussianBlur(unit * rng.uniform(0.5, 1.0)))
        return Image.composite(blurred, photo, mask.filter(ImageFilter.GaussianBlur(unit * 0.1)))
    head = np.maximum(np.asarray(mask), 255 * np.isin(label, (1, 2)).astype(np.uint8))
    grown = (
        Image.fromarray(head).filter(ImageFilter.GaussianBlur(unit * 0.25)).point(lambda v: 255 * (v > 30))
    )
    hole = np.asarray(grown) > 0
    if rng.random() < 0.4 or hole.mean() > 0.8:
        fill = Image.new("RGB", photo.size, colour(rng))
    else:
        pixels = np.asarray(photo).astype(np.float32)
        seen = np.asarray(Image.fromarray((~hole * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(unit)))
        known = Image.fromarray((pixels * ~hole[..., None]).astype(np.uint8)).filter(
            ImageFilter.BoxBlur(unit)
        )
        average = np.asarray(known).astype(np.float32) / np.maximum(seen[..., None] / 255.0, 0.02)
        mean = pixels[~hole].mean(0)
        fill = Image.fromarray(np.where(seen[..., None] > 6, average, mean).clip(0, 255).astype(np.uint8))
        fill = fill.filter(ImageFilter.GaussianBlur(unit * 0.2))
    return Image.composite(fill, photo, grown.filter(ImageFilter.GaussianBlur(unit * rng.uniform(0, 0.1))))


def body(source: Source) -> Image.Image | None:
    """What a portrait shows below the chin; none when that is only a strip."""
    top = int(source.outline[:, 1].max() + 0.12 * np.ptp(source.outline[:, 1]))
    if source.pixels.shape[0] - top < 24:
        return None
    return Image.fromarray(np.ascontiguousarray(source.pixels[top:, :, :3]))


def window(rng: np.random.Generator, picture: Image.Image, side: int, least: float = 0.25) -> Image.Image:
    """A random square window of a picture, mirrored or turned by quarters at times."""
    size = min(picture.size) * rng.uniform(least, 1.0)
    x, y = rng.uniform(0, picture.width - size), rng.uniform(0, picture.height - size)
    cut = picture.resize((side, side), Image.BILINEAR, box=(x, y, x + size, y + size), reducing_gap=2.0)
    if rng.random() < 0.5:
        cut = cut.transpose(Image.FLIP_LEFT_RIGHT)
    if rng.random() < 0.15:
        cut = cut.transpose(rng.choice((Image.ROTATE_90, Image.ROTATE_180, Image.ROTATE_270)))
    return cut


def _skin(rng: np.random.Generator, source: Source, side: int) -> Image.Image:
    """A patch of cheek or forehead, much enlarged: skin without a face."""
    eyes, mouth = source.points[:2].mean(0), source.points[3:].mean(0)
    unit = float(np.linalg.norm(source.points[1] - source.points[0]))
    along = source.points[1] - source.points[0]
    spot = eyes - 0.55 * (mouth - eyes) if rng.random() < 0.5 else source.points[2] + 0.55 * along
    half = unit * rng.uniform(0.12, 0.22)
    box = (*np.maximum(spot - half, 0), *np.minimum(spot + half, source.pixels.shape[1::-1]))
    if box[2] - box[0] < 2 or box[3] - box[1] < 2:
        return Image.new("RGB", (side, side), colour(rng))
    return Image.fromarray(source.pixels[..., :3]).resize((side, side), Image.BICUBIC, box=box)


def background(
    rng: np.random.Generator, sources: Sequence[Source], pictures: Sequence[Image.Image], side: int
) -> Image.Image:
    """A square picture without a face, of a random kind."""
    kind = rng.random()
    source = sources[int(rng.integers(len(sources)))]
    if kind < 0.4:
        image = window(rng, without_head(rng, source), side, 0.5)
    elif kind < 0.55:
        below = body(source)
        image = window(rng, below, side, 0.5) if below else noise(rng, side)
    elif kind < 0.65 and pictures:
        image = window(rng, pictures[int(rng.integers(len(pictures)))], side)
    elif kind < 0.72:
        image = _skin(rng, source, side)
    elif kind < 0.86:
        image = noise(rng, side)
    else:
        image = gradient(rng, side)
    if rng.random() < 0.5:
        draw_shapes(rng, image, int(rng.integers(1, 9)))
    return image
