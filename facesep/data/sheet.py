"""A contact sheet of the photos that were left out, by reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from PIL import Image, ImageDraw

from facesep.data.source import Source
from facesep.errors import ImageError
from facesep.images import encode_image, load_image

TILE, PER_REASON, TITLE = 112, 10, 18
"""Side of a thumbnail, thumbnails of a reason, height of a title; pixels."""


def rejects_sheet(source: Source, rejected: Sequence[tuple[str, str]]) -> bytes:
    """Thumbnails of up to ten photos of each reason, evenly picked, under the reason and its count.

    Args:
        source: gives the files.
        rejected: ``(name, reason)`` of every photo that was left out, at least one.

    Returns:
        A JPEG file.
    """
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, reason in rejected:
        reasons[reason].append(name)
    row = TITLE + TILE + 4
    sheet = Image.new("RGB", (PER_REASON * TILE, row * len(reasons)), "white")
    pen = ImageDraw.Draw(sheet)
    ordered = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    for line, (reason, names) in enumerate(ordered):
        pen.text((4, line * row + 3), f"{reason}: {len(names)}", fill="black")
        count = min(PER_REASON, len(names))
        for column in range(count):
            name = names[column * len(names) // count]
            sheet.paste(_thumbnail(source, name), (column * TILE, line * row + TITLE))
    return encode_image(sheet, "jpeg", quality=85)


def _thumbnail(source: Source, name: str) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), (225, 225, 225))
    path = source.path(name)
    try:
        if path is None:
            raise ImageError("no file")
        photo = load_image(path)
    except ImageError:
        ImageDraw.Draw(tile).text((6, TILE // 2 - 6), name[-16:], fill="black")
        return tile
    photo.thumbnail((TILE - 2, TILE - 2))
    tile.paste(photo, ((TILE - photo.width) // 2, (TILE - photo.height) // 2))
    return tile
