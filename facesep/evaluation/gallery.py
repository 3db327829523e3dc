"""A page of faces that nobody chose: transfers, views and turning heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from facesep.codes import ATTRIBUTES
from facesep.data.heads import Photo, original
from facesep.evaluation import figures, sheet
from facesep.model import FaceSep
from facesep.provenance import write_image

VIEWS = (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0)
"""Yaw of the seven views in degrees."""
_PAGE = """# Gallery

The first {count} people of the split `{split}`, in the order of the index, whose licence allows showing them.
Training never saw them, and nobody chose among them. Made by

```bash
{command}
```

## One attribute at a time

Each row takes one attribute from the person of the next row, and keeps the other six.

![Photos, renders and transfers of single attributes]({images}/transfers.jpg)

## Seven views

![The same people turned from -45 to 45 degrees]({images}/views.jpg)

## Turning heads

{videos}

{plain}{credit} Every picture and video says in itself that a machine made it (`facesep verify FILE`).
"""

_PLAIN = """## Without the photos' pixels

The renders of the same codes, which is all that codes without a photo give (`detail=False`).

![Plain renders of the transfers]({images}/transfers-plain.jpg)

![Plain renders of the views]({images}/views-plain.jpg)

"""


def write_gallery(
    sep: FaceSep,
    photos: Sequence[Photo],
    page: str | Path,
    command: str,
    split: str,
    videos: int = 4,
    frames: int = 60,
    on_row: Callable[[int], object] | None = None,
    originals: str | Path | None = None,
) -> Path:
    """Writes a page in Markdown, with pictures and videos in ``images/<name of the page>/`` beside it.

    Args:
        sep: the model.
        photos: the people, in order; at least two.
        page: the ``.md`` file.
        command: what made it, for the page.
        split: the photos' split, for the page.
        videos: how many of the people turn in a video.
        frames: frames of each video.
        on_row: called with the number of people done, for progress.
        originals: folder with the photos at their own resolution: results have photo detail, and plain
            renders stand below. None for plain renders of the crops alone.

    Returns:
        The page.

    Raises:
        ConfigError: for fewer than two photos.
    """
    page = Path(page)
    folder = page.parent / "images" / page.stem
    folder.mkdir(parents=True, exist_ok=True)
    portraits = originals and [sep.portrait(original(Path(originals), one.name), face=0) for one in photos]
    credit = sheet.credits_of(photos)
    for form in ("", "-plain") if portraits else ("",):
        rows = figures.strips(sep, photos, ATTRIBUTES, VIEWS, on_row, None if form else portraits)
        views = [label for label in rows[0] if label.startswith("yaw")]
        for name, labels in (
            ("transfers", [label for label in rows[0] if label not in views]),
            ("views", ["photo", *views]),
        ):
            part = [{label: row[label] for label in labels} for row in rows]
            write_image(sheet.contact_sheet(part, credit), folder / f"{name}{form}.jpg", quality=88)
    lines = []
    for number, photo in enumerate(photos[:videos], 1):
        path = folder / f"orbit-{number}.mp4"
        face = portraits[number - 1] if portraits else sep.encode(photo.aligned)
        sep.orbit(face, path, frames=frames)
        lines.append(f"- [Row {number}](images/{page.stem}/{path.name})")
    images = f"images/{page.stem}"
    page.write_text(
        _PAGE.format(
            count=len(photos),
            split=split,
            command=command,
            images=images,
            plain=_PLAIN.format(images=images) if portraits else "",
            videos="\n".join(lines),
            credit=credit,
        ),
        encoding="utf-8",
    )
    return page
