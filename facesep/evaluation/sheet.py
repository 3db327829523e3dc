"""Contact sheets: which photos may be shown, and pictures laid out in rows with labels and credits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

from facesep.data.heads import Photo
from facesep.errors import DataError

SHOWABLE = {
    "london_frl": "CC BY 4.0",
    "gsa_pif": "CC0 1.0",
}
"""Sets of photos whose licence, as noted in the shards, lets a project show them."""
Pictures = dict[str, Image.Image]
"""One row of a sheet: pictures by label."""
GAP, LABEL = 4, 20
"""Pixels between pictures and for the line of labels."""


def choose(photos: Iterable[Photo], count: int, names: Sequence[str] | None = None) -> list[Photo]:
    """Photos that may be shown, one of each person.

    Without names the sets take turns, and so do the marked expressions within a set.

    Args:
        photos: to choose from.
        count: how many.
        names: choose exactly these.

    Raises:
        DataError: if there are too few, or a named photo is missing or may not be shown.
    """
    showable = {photo.name: photo for photo in photos if may_be_shown(photo)}
    if names is not None:
        missing = [name for name in names if name not in showable]
        if missing:
            raise DataError(
                f"{', '.join(missing)}: not in this split, or of a set that may not be shown "
                f"(those that may: {', '.join(SHOWABLE)})"
            )
        return [showable[name] for name in names]
    queues: dict[tuple[str, str], list[Photo]] = {}
    for photo in showable.values():
        key = (photo.meta["set"], photo.meta.get("expression") or "")
        queues.setdefault(key, []).append(photo)
    chosen: dict[str, Photo] = {}
    while len(chosen) < count and any(queues.values()):
        for queue in queues.values():
            while queue and queue[0].person in chosen:
                queue.pop(0)
            if queue and len(chosen) < count:
                photo = queue.pop(0)
                chosen[photo.person] = photo
    if len(chosen) < count:
        raise DataError(f"only {len(chosen)} people may be shown, {count} are wanted")
    return list(chosen.values())


def first(photos: Iterable[Photo], count: int) -> list[Photo]:
    """The first photos that may be shown, one of each person: nobody chose the best ones.

    Args:
        photos: in their order.
        count: how many.

    Raises:
        DataError: if there are too few.
    """
    found: dict[str, Photo] = {}
    for photo in photos:
        if may_be_shown(photo):
            found.setdefault(photo.person, photo)
        if len(found) == count:
            return list(found.values())
    raise DataError(f"only {len(found)} people may be shown, {count} are wanted")


def contact_sheet(rows: Sequence[Pictures], credit: str = "", cell: int = 128) -> Image.Image:
    """Lays rows of pictures out on white, with labels above and a credit line below.

    Args:
        rows: all with the same labels.
        credit: text under the pictures.
        cell: side of a picture in pixels.
    """
    labels = {label: _wrapped(label, cell) for label in rows[0]}
    step, top = cell + GAP, LABEL * max(map(len, labels.values()))
    width = len(labels) * step + GAP
    lines = _wrapped(credit, width - 2 * GAP)
    sheet = Image.new("RGB", (width, top + len(rows) * step + LABEL * len(lines)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (label, heading) in enumerate(labels.items()):
        left = GAP + column * step
        for number, line in enumerate(heading):
            height = top - LABEL * (len(heading) - number - 0.5)
            draw.text((left + cell / 2, height), line, fill="black", font=_font(), anchor="mm")
        for place, row in enumerate(rows):
            picture = row[label].resize((cell, cell), Image.LANCZOS)
            sheet.paste(picture, (left, top + place * step))
    for number, line in enumerate(lines):
        height = sheet.height - LABEL * (len(lines) - number - 0.5)
        draw.text((GAP, height), line, fill="black", font=_font(), anchor="lm")
    return sheet


def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=12)


def _wrapped(text: str, width: float) -> list[str]:
    """Lines of at most ``width`` pixels."""
    lines: list[str] = []
    for word in text.split():
        if lines and _font().getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def credits_of(photos: Sequence[Photo]) -> str:
    """The credit line of the photos that are shown."""
    found = dict.fromkeys(
        f"{photo.meta.get('credit') or photo.meta['set']}, {photo.meta['licence']}" for photo in photos
    )
    return "Photos: " + "; ".join(found) + ". All other pictures are renders."


def may_be_shown(photo: Photo) -> bool:
    """Whether the photo's set and licence, as noted, let a project show it."""
    licence = SHOWABLE.get(photo.meta.get("set", ""))
    return licence is not None and photo.meta.get("licence") == licence
