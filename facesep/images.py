"""Untrusted pictures in, upright RGB pictures out; RGB pictures in, clean PNG, JPEG or WebP out.

Every upload passes through ``load_image``. It knows eight file formats, reads the size from the
header before a single pixel is decoded, and either returns an RGB picture without any metadata or
raises ``facesep.errors.ImageError`` with a sentence that says what to do.
"""

from __future__ import annotations

import io
import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin, features
from torch import Tensor

from facesep import checks
from facesep.errors import ConfigError, ImageError

MAX_BYTES = 64 * 2**20
"""Largest file that is read, in bytes."""
MAX_PIXELS = 40_000_000
"""Largest picture that comes out, in pixels. Stricter than Pillow's limit, which is left alone."""
MAX_PHONE_PIXELS = 52_000_000
"""Largest HEIC, AVIF or progressive JPEG file: those of phones. They are decoded whole, then halved."""
MAX_JPEG_PIXELS = 210_000_000
"""Largest other JPEG file: the decoder makes it smaller line by line."""
MAX_SIDE = 16_384
"""Longest side of a file's picture, in pixels."""
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS
"""Most work for a progressive JPEG: scans times pixels. Real files have about ten scans."""

READ_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
"""Formats that Pillow reads; HEIC is read by pillow-heif where that is installed."""
WRITE_FORMATS = ("png", "jpeg", "webp")
MADE = "made"
REFINED = "refined"
"""Key of ``Image.info`` in pictures that a refiner worked on."""

Source = str | Path | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray | Tensor
"""What ``load_image`` accepts."""

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_RANGES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0, 2.0**32)
"""Largest values of samples with 8, 10, 12, 14, 16 and 32 bits."""
_AS_JPEG = "open it in any picture program and save it as JPEG or PNG"


def load_image(source: Source) -> Image.Image:
    """Turns anything that holds a picture into an upright RGB image without metadata.

    EXIF orientation is applied, transparency is laid on white, CMYK and colours with an ICC profile
    become sRGB, deeper and float pictures are scaled to 8 bits by the smallest usual range that holds their
    values, animations give their first frame, and phones' pictures above 40 megapixels come out at half their
    size or less.

    Args:
        source: a path; the bytes of a file; an open binary file; a PIL image; an array ``[H, W]``,
            ``[H, W, 3]`` or ``[H, W, 4]`` of uint8 or of floats in [0, 1]; a tensor ``[3, H, W]`` of
            floats in [0, 1] or of uint8.

    Returns:
        A new RGB image; the source is not changed.

    Raises:
        ImageError: if the source is not a usable picture; the message says what to do.
    """
    if isinstance(source, np.ndarray):
        return _upright_rgb(_from_array(source))
    if isinstance(source, Tensor):
        return _from_tensor(source)
    if isinstance(source, Image.Image):
        return _decode(source)
    data = read_bytes(source)
    return _decode(_open(data), data)


def encode_image(
    image: Image.Image | Tensor, format: str = "png", *, quality: int = 95, **metadata: Any
) -> bytes:
    """Encodes pixels alone: nothing that the image object carries (EXIF, ICC, text) is written.

    This is the bare codec. Results of the model are written by ``facesep.provenance``, which marks
    them first.

    Args:
        image: RGB or RGBA image, or ``Tensor[3, H, W]`` in [0, 1]; JPEG has no transparency, so what is
            transparent becomes white there.
        format: ``png``, ``jpeg`` (also ``jpg``) or ``webp``.
        quality: 1 to 100, for JPEG and WebP.
        **metadata: what the format's Pillow encoder should add, such as ``exif`` or ``pnginfo``.

    Raises:
        ConfigError: for another format or quality.
        ImageError: if the pixels cannot be encoded, for example a picture too large for WebP.
    """
    format = picture_format(format)
    quality = checks.whole(quality, "quality", 1, 100)
    image = as_result(image)
    image = (_to_rgb(image, None) if format == "jpeg" else image).copy()
    image.info = {}
    options = dict(metadata)
    if format != "png":
        options["quality"] = quality
    if format == "jpeg" and quality >= 90:
        options["subsampling"] = 0  # full colour resolution: thin coloured edges of hair and lips stay
    buffer = io.BytesIO()
    try:
        image.save(buffer, format, **options)
    except (OSError, ValueError) as error:
        problem = f"cannot write {image.width} x {image.height} pixels as {format} ({error})"
        raise ImageError(f"{problem}: use another format or size") from error
    return buffer.getvalue()


def picture_format(name: str) -> str:
    """One of ``WRITE_FORMATS``; ``jpg`` is ``jpeg``.

    Raises:
        ConfigError: for anything else.
    """
    format = name.lower() if isinstance(name, str) else None
    format = "jpeg" if format == "jpg" else format
    if format not in WRITE_FORMATS:
        raise ConfigError(
            f"cannot write {checks.shown(name)} pictures: choose from {', '.join(WRITE_FORMATS)}"
        )
    return format


def as_picture(image: Image.Image | Tensor) -> Image.Image:
    """A picture of the program itself as an RGB image.

    Raises:
        ImageError: for something else than an image with pixels, or a tensor ``[3, H, W]``.
    """
    if isinstance(image, Tensor):
        return to_image(image)
    if not isinstance(image, Image.Image) or 0 in image.size:
        raise ImageError(f"expected a PIL image or a tensor [3, H, W], got {checks.shown(image)}")
    return image if image.mode == "RGB" else image.convert("RGB")


def as_result(image: Image.Image | Tensor) -> Image.Image:
    """Like ``as_picture``, but transparency stays."""
    if isinstance(image, Image.Image) and image.mode == "RGBA" and 0 not in image.size:
        return image
    return as_picture(image)


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB image as float ``Tensor[3, H, W]`` in [0, 1]."""
    pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255)


def to_image(tensor: Tensor) -> Image.Image:
    """``Tensor[3, H, W]`` in [0, 1] as an RGB image; values are clamped, then rounded.

    Raises:
        ImageError: for another shape or values that are not finite.
    """
    if tensor.ndim != 3 or tensor.shape[0] != 3 or 0 in tensor.shape:
        raise ImageError(f"expected a tensor of shape [3, H, W], got {list(tensor.shape)}")
    tensor = tensor.detach().float()
    if not torch.isfinite(tensor).all():
        raise ImageError("the picture holds values that are not finite")
    pixels = tensor.clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().numpy())


def note_refined(image: Image.Image) -> Image.Image:
    """Notes in a picture that a refiner invented detail in it; files that facesep writes of it say so."""
    image.info[REFINED] = True
    return image


def note_made(image: Image.Image, where: Image.Image) -> Image.Image:
    """Notes in a photo that keeps its background what a model made of it: the watermark is put there alone.

    Args:
        image: the result.
        where: greyscale, of the same size; 0 where pixels are the photo's.
    """
    image.info[MADE] = where
    return image


# -- reading ----------------------------------------------------------------------------------------


def read_bytes(source: str | Path | bytes | bytearray | memoryview | BinaryIO) -> bytes:
    """The bytes of a file, never more than the limit."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source[: MAX_BYTES + 1])
    elif isinstance(source, (str, Path)):
        data = _read_path(source)
    elif callable(getattr(source, "read", None)):
        data = source.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise ImageError("the picture file is open as text: open it with mode 'rb'")
    else:
        raise ImageError(
            f"cannot read a picture from {type(source).__name__}: "
            "give a path, bytes, a PIL image, an array or a tensor"
        )
    if not data:
        raise ImageError("the picture is empty (0 bytes): choose another file")
    if len(data) > MAX_BYTES:
        raise ImageError(f"the file is larger than {MAX_BYTES // 2**20} MB: save the picture smaller")
    return data


def _read_path(source: str | Path) -> bytes:
    if isinstance(source, str) and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://|data:", source):
        raise ImageError(f"{source[:80]!r} is a web address: download the picture and give the file")
    try:
        if not stat.S_ISREG(Path(source).stat().st_mode):  # reading a pipe or a device could block
            raise ImageError(f"{source} is not a file: give the path of a picture")
        with open(source, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        shown = str(source)[:200]
        raise ImageError(f"cannot read {shown!r} ({error}): check the path of the picture") from error


def _open(data: bytes) -> ImageFile.ImageFile:
    """Reads the header with one of the allowed formats; decodes no pixels."""
    try:
        if data[:2] == b"\xff\xd8":
            _check_jpeg(data)
            return JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
            return _open_heic(data)
        return Image.open(io.BytesIO(data), formats=READ_FORMATS)
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 Pillow's readers raise nearly anything on damaged files
        raise ImageError(_unknown(data)) from error


def _open_heic(data: bytes) -> ImageFile.ImageFile:
    """A picture of an iPhone; files of this family can also hold AVIF."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        try:
            return Image.open(io.BytesIO(data), formats=("AVIF",))
        except Exception:  # noqa: BLE001 as in _open
            advice = f"install pillow-heif (pip install 'facesep[heic]'), or {_AS_JPEG}"
            raise ImageError(f"the file is a HEIC picture: {advice}") from error
    return HeifImageFile(io.BytesIO(data))


def _unknown(data: bytes) -> str:
    """A sentence for bytes that no allowed format accepts."""
    head, brand = data[:512].lstrip().lower(), data[8:12] if data[4:8] == b"ftyp" else b""
    if b"<svg" in head or head.startswith(b"<?xml"):
        kind = "an SVG drawing, not a photo"
    elif brand in _HEIC_BRANDS:
        kind = "a damaged HEIC picture"
    elif brand in (b"avif", b"avis"):
        kind = "a damaged AVIF picture" if features.check("avif") else "AVIF, which this Pillow cannot read"
    elif brand or head.startswith(b"\x1a\x45\xdf\xa3"):
        kind = "a video, not a photo"
    elif data.startswith((b"\x89PNG", b"\xff\xd8", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*")):
        kind = "damaged or too large"
    else:
        kind = f"not a picture this program knows ({', '.join(READ_FORMATS)}, HEIC)"
    return f"the file is {kind}: {_AS_JPEG}"


def _check_jpeg(data: bytes) -> None:
    """Refuses a JPEG that costs too much time or memory to decode.

    A progressive file can hold thousands of scans of a few bytes, each of which costs a pass over all
    pixels; and unless one scan holds all components, the decoder keeps the coefficients of the whole
    picture. Walks the marker segments (ISO 10918-1, B.1.1) up to the end of the first image.
    """
    position, pixels, scans, components, whole = 2, 0, 0, b"", False
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xD9:
            break
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[position + i : position + i + 2], "big") for i in (5, 7))
            pixels, components = max(pixels, height * width), data[position + 9 : position + 10]
            whole |= marker not in (0xC0, 0xC1)
        if marker == 0xDA:
            scans += 1
            whole |= data[position + 4 : position + 5] != components
            if scans * pixels > MAX_SCANNED_PIXELS:
                raise ImageError(f"this JPEG is damaged or built to waste time: {_AS_JPEG}")
            if whole and pixels > MAX_PHONE_PIXELS:
                most = f"{MAX_PHONE_PIXELS // 10**6} megapixels"
                raise ImageError(f"this progressive JPEG has more than {most}: make it smaller")
            end = _AFTER_SCAN.search(data, position + 2 + length)
            if end is None:
                break
            position = end.start()
            continue
        position += 2 + length


_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)  # stuffed zeros and restarts go on


# -- decoding ---------------------------------------------------------------------------------------


def _decode(image: Image.Image, data: bytes = b"") -> Image.Image:
    """Checks the size, decodes, turns upright and converts to RGB.

    Args:
        image: a picture whose pixels need not be decoded yet.
        data: the file it comes from, if it is known.
    """
    jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    phone = image.format in ("HEIF", "AVIF")
    most = MAX_JPEG_PIXELS if jpeg else MAX_PHONE_PIXELS if phone else MAX_PIXELS
    _check_size(*image.size, most)
    try:
        if jpeg and (scale := _scale(*image.size)) > 1:
            image.draft(None, (image.width // scale, image.height // scale))
        layout = [tile[-1] for tile in getattr(image, "tile", [])]
        image.load()
        _check_size(*image.size, most)  # a HEIC file's header may promise another size
        if (scale := _scale(*image.size)) > 1:
            image = image.reduce(scale)
        if data and image.mode == "RGB" and ";16" in str(layout):
            image = _from_deep_colours(image, data)
        return _upright_rgb(image)
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 as in _open
        reason = str(error).strip(". ") or type(error).__name__
        if "truncated" in reason or "not processed" in reason:
            reason = "it ends too early"
        raise ImageError(f"the picture is damaged or incomplete ({reason}): {_AS_JPEG}") from error


def _scale(width: int, height: int) -> int:
    """By which power of two a picture must be divided to come out."""
    scale = 1
    while width * height > MAX_PIXELS * scale**2:
        scale *= 2
    return scale


def _check_size(width: int, height: int, most: int = MAX_PIXELS) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"the picture has no pixels ({width} x {height}): choose another one")
    if width * height > most or max(width, height) > MAX_SIDE:
        raise ImageError(
            f"the picture has {width} x {height} pixels: make it smaller than "
            f"{most // 10**6} megapixels and {MAX_SIDE} pixels a side"
        )


def _upright_rgb(image: Image.Image) -> Image.Image:
    """A decoded image of any mode as a new, upright RGB image with empty metadata."""
    profile, orientation = image.info.get("icc_profile"), _orientation(image)
    rgb = _to_rgb(image, profile)
    if orientation in _TRANSPOSE:
        rgb = rgb.transpose(_TRANSPOSE[orientation])
    elif rgb is image or type(rgb) is not Image.Image:
        rgb = rgb.copy()
    rgb.info = {}
    return rgb


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; damaged EXIF is no reason to refuse the pixels."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 as in _open
        return 1


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep(image)
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        image = image.convert("RGBA")
        colours = _to_srgb(image.convert("RGB"), profile)
        white = Image.new("RGB", image.size, "white")
        white.paste(colours, mask=image.getchannel("A"))
        return white
    if image.mode not in ("RGB", "CMYK"):
        image = image.convert("RGB")
    return _to_srgb(image, profile).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Applies an ICC profile (phones save Display P3); an unusable one is ignored."""
    if not profile:
        return image
    try:
        given = ImageCms.getOpenProfile(io.BytesIO(profile))
        name = given.profile.profile_description or ""
        if given.profile.xcolor_space.strip() != image.mode or "sRGB" in name:
            return image
        way = ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), image.mode, "RGB")
        return way.apply(image)
    except Exception:  # noqa: BLE001 the profile comes from the file and may hold anything
        return image


def _from_deep(image: Image.Image) -> Image.Image:
    """One channel of 16 bits, 32 bits or floats."""
    pixels = np.asarray(image, dtype=np.float32)
    if not np.isfinite(pixels).all():
        raise ImageError(f"the picture holds values that are not finite: {_AS_JPEG}")
    ranges = (1.0, *_RANGES) if image.mode == "F" else _RANGES
    return Image.fromarray(_to_eight_bits(pixels, ranges)).convert("RGB")


def _from_deep_colours(image: Image.Image, data: bytes) -> Image.Image:
    """Three channels of 16 bits, of which Pillow keeps the upper byte.

    Samples of 8 to 14 bits leave that byte nearly empty. Then the file is decoded again with the bytes of
    each sample exchanged, which gives the lower byte.
    """
    upper = np.asarray(image)
    if upper.max() >= 64:  # more than 14 bits
        return image
    other = _open(data)
    exchanged = {"B": "L", "L": "B", "N": "L" if sys.byteorder == "big" else "B"}
    tiles = []
    for tile in other.tile:
        raw, *rest = (tile.args,) if isinstance(tile.args, str) else tile.args or ()
        raw = raw[:-1] + exchanged[raw[-1]]
        tiles.append(tile._replace(args=raw if isinstance(tile.args, str) else (raw, *rest)))
    other.tile = tiles
    other.load()
    pixels = upper.astype(np.float32) * 256 + np.asarray(other)
    colours = Image.fromarray(_to_eight_bits(pixels, _RANGES))
    colours.info = image.info
    return colours


def _to_eight_bits(pixels: np.ndarray, ranges: Sequence[float]) -> np.ndarray:
    """Scales samples by the smallest range that holds them: files do not say how many bits they use."""
    top = float(pixels.max())
    full = next((limit for limit in ranges if top <= limit), top)
    return np.clip(pixels * (255.0 / full), 0, 255).round().astype(np.uint8)


# -- arrays -----------------------------------------------------------------------------------------


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] not in (3, 4):
        raise ImageError(f"the array has shape {array.shape}, channels first: give [H, W, 3]")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ImageError(f"the array has shape {array.shape}: give [H, W], [H, W, 3] or [H, W, 4]")
    _check_size(array.shape[1], array.shape[0])
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating):
            raise ImageError(f"the array holds {array.dtype}: give uint8, or floats in [0, 1]")
        _check_range(float(array.min()), float(array.max()))
        array = (np.clip(array.astype(np.float32), 0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array))


def _from_tensor(tensor: Tensor) -> Image.Image:
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ImageError(f"the tensor has shape {list(tensor.shape)}: give [3, H, W]")
    _check_size(tensor.shape[2], tensor.shape[1])
    if tensor.dtype == torch.uint8:
        return Image.fromarray(tensor.permute(1, 2, 0).contiguous().cpu().numpy())
    if not tensor.is_floating_point():
        raise ImageError(f"the tensor holds {tensor.dtype}: give floats in [0, 1], or uint8")
    low, high = tensor.detach().aminmax()
    _check_range(float(low), float(high))
    return to_image(tensor)


def _check_range(low: float, high: float) -> None:
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # also refuses NaN
        raise ImageError(
            f"float pixels must lie in [0, 1], got {low:g} to {high:g}: divide by 255 or rescale"
        )
