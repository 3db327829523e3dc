"""Marks what the model made, and finds the marks again.

Every result leaves through :func:`write_image`, :func:`encode` or :func:`write_video`, which add two
marks: a label in the file's metadata (who made it, and the IPTC term for pictures that a model altered)
and an invisible watermark in the pixels (:mod:`facesep.watermark`), which survives what strips labels.
Where a key is configured, a third is added: a signature (:mod:`facesep.credentials`).

Both say honestly where a file comes from; neither stops somebody who wants to lie. A label can be
removed or written by anyone, and the absence of marks proves nothing.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from torch import Tensor

import facesep
from facesep import checks, credentials, video, watermark
from facesep.errors import ConfigError, ImageError
from facesep.files import complete
from facesep.images import (
    MAX_BYTES,
    READ_FORMATS,
    REFINED,
    as_picture,
    encode_image,
    load_image,
    picture_format,
    read_bytes,
)

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC digital source type: a composite that includes elements made by a trained model."""
NOTICE = "AI-generated: a face altered by a model"
REFINED_NOTICE = "refined: with detail that a refiner invented"
"""Added for refined pictures; the evaluation refuses files that say so."""

_UNMARKED = "without a watermark, as its maker asked"
_SUFFIXES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_FRAMES = 8  # frames of a video that are looked at together
_SOFTWARE, _DESCRIPTION = 0x0131, 0x010E
_MADE_BY = re.compile(r"\bfacesep (\d+(?:\.\w+){1,4})\b")


@dataclass(frozen=True)
class Verdict:
    """What :func:`verify` found.

    Attributes:
        made_by_facesep: whether any mark was found.
        how: the marks found: ``label``, ``watermark`` and ``signature``.
        version: version of facesep that made the file.
        signed_by: who signed it, as their certificate calls them; None without a valid signature.
    """

    made_by_facesep: bool
    how: tuple[str, ...] = ()
    version: str | None = None
    signed_by: str | None = None

    def __str__(self) -> str:
        if not self.made_by_facesep:
            return "no mark of facesep found (which proves nothing: marks can be removed)"
        version = f" {self.version}" if self.version else ""
        signed = f", signed by {self.signed_by!r}" if self.signed_by else ""
        return f"made by facesep{version} (found: {' and '.join(self.how)}{signed})"


def mark(image: Image.Image | Tensor) -> Image.Image:
    """Puts the watermark, which holds the version of facesep, into the pixels.

    Args:
        image: RGB image, or ``Tensor[3, H, W]`` in [0, 1]. Below 128 pixels a side there is no room for
            the watermark.

    Returns:
        A new image.
    """
    image = as_picture(image)
    return watermark.embed(image, _pack(facesep.__version__))


def encode(
    image: Image.Image | Tensor, format: str = "png", *, quality: int = 95, marked: bool = True
) -> bytes:
    """A result as the bytes of a file; see :func:`write_image`."""
    format = picture_format(format)
    shown = mark(image) if checks.flag(marked, "marked") else image
    data = encode_image(shown, format, quality=quality, **_label(format, _notice(image, marked)))
    return _signed(data, format) if credentials.configured() else data


def write_image(
    image: Image.Image | Tensor, path: str | Path, *, quality: int = 95, marked: bool = True
) -> Path:
    """Writes a result of the model; the file appears under its name when it is complete.

    Args:
        image: RGB image, or ``Tensor[3, H, W]`` in [0, 1].
        path: ends in ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        quality: 1 to 100, for JPEG and WebP.
        marked: ``False`` leaves the pixels without the watermark, and says so in the label. Many places
            require marks by law for pictures of people: turn it off only for measurements.

    Returns:
        The path.

    Raises:
        ConfigError: for another suffix or a folder that does not exist.
        ImageError: if the picture cannot be encoded or written.
    """
    path = checks.path(path, "path")
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        raise ConfigError(f"pictures are written as {', '.join(_SUFFIXES)}, not {path.name!r}")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} does not exist: create it first")
    data = encode(image, format, quality=quality, marked=marked)
    return _replace(path, data)


def write_video(
    frames: Iterable[video.Frame],
    path: str | Path,
    fps: float = 30,
    *,
    on_frame: Callable[[int], object] | None = None,
    crf: int = 18,
    marked: bool = True,
    sound: np.ndarray | None = None,
) -> Path:
    """Writes frames made by the model; see :func:`facesep.video.write_video` for the arguments."""
    checks.flag(marked, "marked")
    frames = video.iterate(frames)
    first = list(itertools.islice(frames, 1))  # what the label says of all
    pixels = (Image.fromarray(video.to_pixels(frame)) for frame in itertools.chain(first, frames))
    path = video.write_video(
        map(mark, pixels) if marked else pixels,
        path,
        fps,
        on_frame=on_frame,
        crf=crf,
        title="facesep",
        sound=sound,
        comment=f"{_software()}. {_notice(first[0] if first else None, marked)}. {SOURCE_TYPE}",
    )
    if credentials.configured():
        _replace(path, _signed(path.read_bytes(), "mp4"))
    return path


def verify(source: str | Path | bytes) -> Verdict:
    """Looks for the marks of facesep in a picture or a video.

    Raises:
        ImageError: if the file is not a picture and its name is not that of a video.
        VideoError: if it is a damaged video.
    """
    signature = None
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() in video.SUFFIXES:
        if Path(source).is_file() and Path(source).stat().st_size <= MAX_BYTES:
            signature = credentials.read(Path(source).read_bytes(), "mp4")
        texts = [video.video_info(source).comment]
        frames = itertools.islice(video.read_frames(source), 0, 4 * _FRAMES, 4)
        pixels = [Image.fromarray(frame) for frame in frames]
        found = watermark.detect(pixels, search=False) if pixels else None
    else:
        data = read_bytes(source)
        found = watermark.detect(load_image(data))
        texts, format = _read_texts(data)
        signature = credentials.read(data, format) if format in credentials.MIME_TYPES else None
    ours = _MADE_BY.search(signature.software) if signature else None
    label = next((match[1] for text in texts if (match := _MADE_BY.search(text))), None)
    marks = {"label": label is not None, "watermark": found is not None, "signature": ours is not None}
    how = tuple(name for name, there in marks.items() if there)
    version = label or (ours and ours[1]) or (found and _unpack(found.message))
    return Verdict(bool(how), how, version, signature.signer if ours else None)


def _pack(version: str) -> int:
    """``1.2.3`` as 8 + 12 + 12 bits."""
    major, minor, patch = (int(part) for part in re.match(r"(\d+)\.(\d+)\.(\d+)", version).groups())
    return major << 24 | minor << 12 | patch


def _unpack(message: int) -> str:
    return f"{message >> 24}.{message >> 12 & 0xFFF}.{message & 0xFFF}"


# -- the label --------------------------------------------------------------------------------------


def _software() -> str:
    return f"facesep {facesep.__version__}"


def _notice(image: object, marked: bool) -> str:
    refined = isinstance(image, Image.Image) and image.info.get(REFINED)
    parts = [NOTICE, REFINED_NOTICE if refined else "", "" if marked else _UNMARKED]
    return "; ".join(part for part in parts if part)


def _label(format: str, notice: str) -> dict:
    """Arguments for the format's encoder that write the label."""
    xmp = _XMP.format(software=_software(), notice=notice, source_type=SOURCE_TYPE)
    if format == "png":
        info = PngImagePlugin.PngInfo()
        info.add_text("Software", _software())
        info.add_text("Comment", notice)
        info.add_itxt("XML:com.adobe.xmp", xmp)
        return {"pnginfo": info}
    exif = Image.Exif()
    exif[_SOFTWARE], exif[_DESCRIPTION] = _software(), notice
    return {"exif": exif.tobytes(), "xmp": xmp.encode()}


def _signed(data: bytes, format: str) -> bytes:
    return credentials.sign(data, format, ("facesep", facesep.__version__), SOURCE_TYPE)


def _replace(path: Path, data: bytes) -> Path:
    """Writes a file that appears under its name when it is complete."""
    try:
        with complete(path, ImageError) as part:
            part.write_bytes(data)
    except OSError as error:
        raise ImageError(f"cannot write {path} ({error}): choose another place") from error
    return path


def _read_texts(data: bytes) -> tuple[list[str], str]:
    """The texts in a picture's metadata where a label can stand, and the picture's format."""
    try:
        with Image.open(io.BytesIO(data), formats=READ_FORMATS) as image:
            xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or ""
            found = [image.info.get("Software", ""), image.getexif().get(_SOFTWARE, ""), xmp]
            format = (image.format or "").lower()
    except Exception:  # noqa: BLE001 damaged metadata is no label
        return [], ""
    texts = [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in found]
    return texts, format


_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool="{software}"
    Iptc4xmpExt:DigitalSourceType="{source_type}">
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">{notice}</rdf:li></rdf:Alt></dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
