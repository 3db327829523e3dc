"""Marks what the model made, and finds the marks again.

Every result leaves through ``write_image``, ``encode``, ``write_video`` or ``write_animation``, which add two
marks: a label in the file's metadata (who made it, and the IPTC term for pictures that a model altered)
and an invisible watermark in the pixels (``facesep.watermark``), which survives what strips labels.
In a photo that keeps its background the watermark covers what the model made (``where``) and nothing else.
Where a key is configured, a third is added: a signature (``facesep.credentials``).

Both say honestly where a file comes from; neither stops somebody who wants to lie. A label can be
removed or written by anyone, and the absence of marks proves nothing.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, PngImagePlugin
from torch import Tensor

import facesep
from facesep import animation, checks, credentials, first_watermark, video, watermark
from facesep.errors import ConfigError, ImageError, VideoError
from facesep.files import complete
from facesep.images import (
    MADE,
    MAX_BYTES,
    READ_FORMATS,
    REFINED,
    as_result,
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
_FRAMES, _EVERY = 8, 3  # how many frames of a video are looked at together, and which
_SOFTWARE, _DESCRIPTION = 0x0131, 0x010E
_MADE_BY = re.compile(r"\bfacesep (\d+(?:\.\w+){1,4})\b")


@dataclass(frozen=True)
class Verdict:
    """What ``verify`` found.

    Attributes:
        made_by_facesep: whether any mark was found.
        how: the marks found: ``label``, ``watermark`` and ``signature``.
        version: version of facesep that made the file; None where the watermark alone is left.
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


Mask = Image.Image | ArrayLike
"""A greyscale image, or ``[H, W]`` in 0..1."""


def mark(image: Image.Image | Tensor, *, where: Mask | None = None) -> Image.Image:
    """Puts the watermark into the pixels.

    Args:
        image: RGB or RGBA image, or ``Tensor[3, H, W]`` in [0, 1]. Below 128 pixels a side there is no room
            for the watermark.
        where: what the model made of it; where this is 0, pixels stay as they are. None for what is noted in
            results that keep their background, what is opaque, or all of the picture.

    Returns:
        A new image.

    Raises:
        ConfigError: if ``where`` has another size than the image.
    """
    image = as_result(image)
    return watermark.embed(image, where=_made(image) if where is None else where)


def _made(image: Image.Image) -> Image.Image | None:
    """What a model made of a picture, if ``facesep.images.note_made`` has noted it for this size."""
    noted = image.info.get(MADE)
    return noted if noted is not None and noted.size == image.size else None


def encode(
    image: Image.Image | Tensor,
    format: str = "png",
    *,
    quality: int = 95,
    marked: bool = True,
    where: Mask | None = None,
) -> bytes:
    """A result as the bytes of a file; see ``write_image``."""
    format = picture_format(format)
    shown = mark(image, where=where) if checks.flag(marked, "marked") else image
    data = encode_image(shown, format, quality=quality, **_label(format, _notice(image, marked)))
    return _signed(data, format) if credentials.configured() else data


def write_image(
    image: Image.Image | Tensor,
    path: str | Path,
    *,
    quality: int = 95,
    marked: bool = True,
    where: Mask | None = None,
) -> Path:
    """Writes a result of the model; the file appears under its name when it is complete.

    Args:
        image: RGB image, or ``Tensor[3, H, W]`` in [0, 1].
        path: ends in ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        quality: 1 to 100, for JPEG and WebP.
        marked: ``False`` leaves the pixels without the watermark, and says so in the label. Many places
            require marks by law for pictures of people: turn it off only for measurements.
        where: what the model made of the picture, see ``mark``.

    Returns:
        The path.

    Raises:
        ConfigError: for another suffix, a folder that does not exist, or a mask of another size.
        ImageError: if the picture cannot be encoded or written.
    """
    path = checks.path(path, "path")
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        raise ConfigError(f"pictures are written as {', '.join(_SUFFIXES)}, not {path.name!r}")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} does not exist: create it first")
    data = encode(image, format, quality=quality, marked=marked, where=where)
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
    where: Iterable[Mask] | None = None,
) -> Path:
    """Writes frames made by the model; see ``facesep.video.write_video`` for the arguments.

    ``where`` gives for each frame what the model made of it, see ``mark``.
    """
    checks.flag(marked, "marked")
    frames = video.iterate(frames)
    first = list(itertools.islice(frames, 1))  # what the label says of all
    frames = itertools.chain(first, frames)
    path = video.write_video(
        _marked(frames, where) if marked else frames,
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


def write_animation(
    frames: Iterable[video.Frame],
    path: str | Path,
    fps: float = 30,
    *,
    quality: int = 95,
    on_frame: Callable[[int], object] | None = None,
) -> Path:
    """Writes frames made by the model as animated ``.gif`` or ``.webp``, see ``facesep.animation``.

    Returns:
        The path.
    """
    path = checks.path(path, "path")
    format = path.suffix.lower()[1:]
    animation.check_animation(format, fps)
    frames = video.iterate(frames)
    first = list(itertools.islice(frames, 1))  # what the label says of all
    notice = _notice(first[0] if first else None, True)
    label = _label(format, notice)
    if format == "gif":
        label = {"comment": f"{_software()}. {notice}. {SOURCE_TYPE}"}
    shown = _marked(video.counted(itertools.chain(first, frames), on_frame), None)
    data = animation.encode_animation(shown, format, fps, quality=quality, **label)
    return _replace(path, _signed(data, format) if credentials.configured() else data)


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
        frames = itertools.islice(video.read_frames(source), 0, _EVERY * _FRAMES, _EVERY)
        pixels = [Image.fromarray(frame) for frame in frames]
    else:
        data = read_bytes(source)
        pixels = [load_image(data)]
        some = animation.read_some(data, _EVERY, _FRAMES)
        pixels += [load_image(frame) for frame in itertools.islice(some, 1, None)]
        texts, format = _read_texts(data)
        signature = credentials.read(data, format) if format in credentials.MIME_TYPES else None
    old = first_watermark.read(pixels) if pixels else None
    found = old is not None or bool(pixels and watermark.detect(pixels))
    ours = _MADE_BY.search(signature.software) if signature else None
    label = next((match[1] for text in texts if (match := _MADE_BY.search(text))), None)
    marks = {"label": label is not None, "watermark": found, "signature": ours is not None}
    how = tuple(name for name, there in marks.items() if there)
    version = label or (ours and ours[1]) or (_unpack(old) if old is not None else None)
    return Verdict(bool(how), how, version, signature.signer if signature and ours else None)


def _marked(frames: Iterable[video.Frame], where: Iterable[Mask] | None) -> Iterator[Image.Image]:
    masks: Iterator[Mask | None] = itertools.repeat(None) if where is None else iter(where)
    for number, frame in enumerate(frames, 1):
        try:
            mask = next(masks)
        except StopIteration:
            raise VideoError(f"frame {number} has no mask: give one for each frame") from None
        if mask is None and isinstance(frame, Image.Image):
            mask = _made(frame)
        if not (isinstance(frame, Image.Image) and frame.mode == "RGBA"):
            frame = Image.fromarray(video.to_pixels(frame))
        yield mark(frame, where=mask)


def _unpack(message: int) -> str:
    """The version that a first watermark holds, as 8 + 12 + 12 bits."""
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
    if format not in credentials.MIME_TYPES:
        return data
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
            comment = image.info.get("comment", "") if image.format == "GIF" else ""
            found = [image.info.get("Software", ""), image.getexif().get(_SOFTWARE, ""), xmp, comment]
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
