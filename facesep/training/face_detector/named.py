"""Whether ``align`` names what is wrong with portraits that were turned, squeezed, drawn or cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageFilter, ImageOps

from facesep.data.annotated import Source, face_box, read_sources
from facesep.errors import FaceError
from facesep.faces import align


def _whole(source: Source) -> Image.Image:
    return Image.fromarray(source.pixels[..., :3])


def _turned(transposition: Image.Transpose) -> Callable[[Source], Image.Image]:
    return lambda source: _whole(source).transpose(transposition)


def _squeezed(factor: float) -> Callable[[Source], Image.Image]:
    """Width over height times ``factor``, at the same area."""

    def change(source: Source) -> Image.Image:
        photo = _whole(source)
        return photo.resize((round(photo.width * factor**0.5), round(photo.height / factor**0.5)))

    return change


def _edges(source: Source) -> Image.Image:
    return ImageOps.invert(_whole(source).convert("L").filter(ImageFilter.FIND_EDGES))


def _without_hair(source: Source) -> Image.Image:
    photo = _whole(source)
    return photo.crop((0, max(0, round(face_box(source.outline)[1])), photo.width, photo.height))


CHANGES: dict[str, tuple[Callable[[Source], Image.Image], str]] = {
    "upside down": (_turned(Image.Transpose.ROTATE_180), "by 180 degrees"),
    "turned clockwise": (_turned(Image.Transpose.ROTATE_270), "by 90 degrees anticlockwise"),
    "turned anticlockwise": (_turned(Image.Transpose.ROTATE_90), "by 90 degrees clockwise"),
    "squeezed to twice the width": (_squeezed(2.0), "unusually wide"),
    "squeezed to one and a half": (_squeezed(1.5), "unusually wide"),
    "squeezed to half the width": (_squeezed(0.5), "unusually narrow"),
    "edges alone": (_edges, "drawing"),
    "cut off above the forehead": (_without_hair, "hair beyond its border"),
}
"""Name of a change: the change, and the words that name it."""


def said(photo: Image.Image) -> str:
    """The warnings of a photo, or the error that refuses it, as ``refused: ...``."""
    try:
        return " ".join(align(photo).warnings)
    except FaceError as error:
        return f"refused: {error}"


def table(portraits: Path) -> str:
    """How many changed portraits of the validation split are named, and how many unchanged ones are.

    Args:
        portraits: annotated portraits, see ``facesep.data.annotated``.
    """
    sources = list(read_sources(portraits, "val"))
    unchanged = [said(_whole(source)) for source in sources]
    lines = [
        "| change | photos | named | refused otherwise | noted otherwise | silent | unchanged but named |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (change, words) in CHANGES.items():
        texts = [said(change(source)) for source in sources]
        others = [text for text in texts if words not in text]
        refused = sum(text.startswith("refused") for text in others)
        silent = others.count("")
        false = sum(words in text for text in unchanged)
        lines.append(
            f"| {name} | {len(texts)} | {len(texts) - len(others)} | {refused} | "
            f"{len(others) - refused - silent} | {silent} | {false} |"
        )
    return "\n".join(lines)
