"""Files that somebody might upload to break things, and what must become of them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image, PngImagePlugin


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(width: int = 64, height: int = 48) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack((x * 255 / width, y * 255 / height, 128 + 60 * np.sin(x / 7 + y / 11)), -1)
    return Image.fromarray(pixels.astype(np.uint8))


def bomb(side: int) -> bytes:
    """A real PNG of ``side * side`` black pixels in a few hundred kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    packed = zlib.compress(bytes(side * (1 + -(-side // 8))), 9)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../evil.py", "raise SystemExit")
    return buffer.getvalue()


def with_text(size: int) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a" * size, zip=True)
    return saved(picture(), "PNG", pnginfo=info)


def refused() -> dict[str, bytes]:
    """Files that are no usable picture: an ImageError each."""
    jpeg, png = saved(picture(), "JPEG"), saved(picture(), "PNG")
    gif = bytearray(saved(picture(), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    return {
        "empty.jpg": b"",
        "text.png": b"hello",
        "script.html.png": b"<script>alert(1)</script>",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "entities.svg": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b">]><svg>&b;</svg>',
        "header.jpg": jpeg[:20],
        "header.png": png[:33],
        "broken.png": png[:40] + bytes(len(png) - 40),
        "pickle.png": b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94.",
        "archive.jpg": zipped(),
        "phone.heic": b"\x00\x00\x00\x18ftypheic" + bytes(64),
        "film.jpg": b"\x00\x00\x00\x18ftypisom" + bytes(64),
        "tall.png": saved(Image.new("1", (1, 20_000)), "PNG"),
        "canvas.gif": bytes(gif),
        "121-megapixels.png": bomb(11_000),
        "900-megapixels.png": bomb(30_000),
        "offsets.tiff": b"II*\0\xff\xff\xff\x7f" + bytes(64),
        "nan.tiff": saved(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"),
    }


def odd() -> dict[str, bytes]:
    """Unusual files that are pictures all the same."""
    palette = picture().convert("P")
    wide = Image.fromarray((np.arange(64 * 48).reshape(48, 64) * 21).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [picture().rotate(angle) for angle in (0, 20, 40)]
    return {
        "one-pixel.png": saved(Image.new("RGB", (1, 1), "red"), "PNG"),
        "animated.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "sixteen-bit.png": saved(wide, "PNG"),
        "cmyk.jpg": saved(picture().convert("CMYK"), "JPEG"),
        "palette.png": saved(palette, "PNG", transparency=3),
        "turned.jpg": saved(picture(), "JPEG", exif=exif.tobytes()),
        "polyglot.jpg": saved(picture(), "JPEG") + zipped(),
        "grey-alpha.png": saved(picture().convert("LA"), "PNG"),
        "profile.jpg": saved(picture(), "JPEG", icc_profile=b"not a profile"),
        "much-text.png": with_text(100_000),
    }
