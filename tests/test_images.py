"""Hostile, odd and ordinary pictures: each is read right or refused with an ImageError."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from facesep import images
from facesep.errors import ConfigError, FaceSepError, ImageError
from facesep.images import encode_image, load_image, to_image, to_tensor


def photo(width: int = 40, height: int = 30) -> Image.Image:
    """A smooth picture without symmetry, so that every orientation looks different."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack((x * 255 / width, y * 255 / height, 128 + 60 * np.sin(x / 7 + y / 11)), -1)
    return Image.fromarray(pixels.astype(np.uint8))


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    if format == "HEIF":
        pillow_heif.from_pillow(image).save(buffer, **options)
    else:
        image.save(buffer, format, **options)
    return buffer.getvalue()


def difference(a: Image.Image, b: Image.Image) -> float:
    assert a.mode == b.mode == "RGB" and a.size == b.size
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max())


# -- sources ----------------------------------------------------------------------------------------


def test_every_source_gives_the_same_picture(tmp_path):
    expected = photo()
    data = saved(expected, "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    array = np.asarray(expected)
    sources = [
        path,
        str(path),
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        expected,
        Image.open(path),
        array,
        array.astype(np.float32) / 255,
        array.astype(np.float64) / 255,
        array[:, ::-1][:, ::-1],
        torch.from_numpy(array.copy()).permute(2, 0, 1),
        torch.from_numpy(array.copy()).permute(2, 0, 1) / 255,
        (torch.from_numpy(array.copy()).permute(2, 0, 1) / 255).requires_grad_(),
    ]
    for source in sources:
        assert difference(load_image(source), expected) == 0, type(source)


def test_source_is_not_changed():
    image = photo()
    image.info["note"] = "kept"
    result = load_image(image)
    result.putpixel((0, 0), (255, 255, 255))
    assert image.getpixel((0, 0)) == photo().getpixel((0, 0))
    assert image.info == {"note": "kept"} and result.info == {}


BEST = {
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 100, "subsampling": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "HEIF": {"quality": 100, "chroma": 444},
}
LOSS = {"JPEG": 4, "AVIF": 4, "HEIF": 6, "GIF": 40}
"""Options that keep most of a picture, and the largest error that remains."""


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG", "AVIF", "HEIF"])
def test_allowed_formats(format):
    data = saved(photo(), format, **BEST.get(format, {}))
    assert difference(load_image(data), photo()) <= LOSS.get(format, 0)


@pytest.mark.parametrize("format", ["PPM", "TGA", "ICO", "PCX", "PDF", "EPS", "SGI", "JPEG2000"])
def test_other_formats_are_refused(format):
    Image.init()
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {format}")
    with pytest.raises(ImageError, match="JPEG or PNG"):
        load_image(saved(photo(), format))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "0 bytes"),
        (b"this is text, whatever its name says", "not a picture"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="5"/></svg>', "SVG"),
        (b'<?xml version="1.0"?><svg/>', "SVG"),
        (b"PK\x03\x04" + bytes(100), "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\xff\xd8\xff\xe0", "damaged"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(40), "HEIC"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(40), "video"),
        ("https://example.org/face.jpg", "web address"),
        ("data:image/png;base64,AAAA", "web address"),
        ("no/such/file.jpg", "check the path"),
        ("with\0nul.jpg", "check the path"),
        ("x" * 5000, "check the path"),
        (".", "not a file"),
        (None, "NoneType"),
        (7, "int"),
        (["a.jpg"], "list"),
        (io.StringIO("text"), "rb"),
    ],
)
def test_not_a_picture(source, message):
    with pytest.raises(ImageError, match=message):
        load_image(source)


def test_heic_without_its_package_is_named(monkeypatch):
    data = saved(photo(), "HEIF")
    assert data[4:11] == b"ftyphei"
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"facesep\[heic\]"):
        load_image(data)
    avif = bytearray(saved(photo(), "AVIF"))
    avif[8:12] = b"mif1"  # a brand of both
    assert load_image(bytes(avif)).size == photo().size


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a file"):
        load_image(tmp_path / "pipe.jpg")


def test_too_many_bytes(monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    for source in (bytes(1001), io.BytesIO(bytes(1001)), memoryview(bytes(5000))):
        with pytest.raises(ImageError, match="larger than"):
            load_image(source)


# -- size -------------------------------------------------------------------------------------------


def png_header(width: int, height: int, data: bytes = b"", bits: int = 8) -> bytes:
    """A PNG that announces a size and holds whatever it holds."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png_of_sixteen_bits(samples: np.ndarray) -> bytes:
    """Samples ``uint16[H, W, 3]`` as a PNG of 16 bits a channel."""
    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png_header(width, height, zlib.compress(rows), bits=16)


@pytest.mark.parametrize(
    "size", [(8000, 8000), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (1, 20_000), (20_000, 1)]
)
def test_large_sizes_are_refused_before_decoding(size, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageError, match="megapixels|too large"):
        load_image(png_header(*size))


def test_own_limit_holds_whatever_pillows_limit_is(monkeypatch):
    before = Image.MAX_IMAGE_PIXELS
    data = png_header(7000, 6000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageError, match="megapixels"):
        load_image(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ImageError):
        load_image(saved(photo(), "PNG"))
    monkeypatch.undo()
    load_image(saved(photo(), "PNG"))
    assert before == Image.MAX_IMAGE_PIXELS


def test_bombs_cost_no_memory():
    """Real bombs, decoded in a fresh process: a PNG, a WebP, a GIF and a TIFF."""
    script = """
import io, resource, sys, zlib
from PIL import Image
from test_images import png_header
from facesep.images import load_image
from facesep.errors import ImageError
png = png_header(30_000, 30_000, zlib.compress(bytes(150_000_000), 1))
vp8x = b"WEBPVP8X\\x0a\\0\\0\\0\\x02\\0\\0\\0"
webp = b"RIFF\\x1e\\0\\0\\0" + vp8x + (16_382).to_bytes(3, "little") * 2
frame = b"\\x2c\\0\\0\\0\\0\\xff\\xff\\xff\\xff\\0\\x02\\x02\\x4c\\x01\\0\\x3b"
gif = b"GIF89a\\xff\\xff\\xff\\xff\\x80\\0\\0" + bytes(6) + frame
tiff = io.BytesIO(); Image.new("1", (14_000, 14_000)).save(tiff, "TIFF", compression="group4")
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for data in (png, webp, gif, tiff.getvalue()):
    try:
        load_image(data)
    except ImageError:
        pass
    else:
        sys.exit(f"accepted {data[:4]}")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)
"""
    here = Path(__file__).parent
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100  # MB; decoding the smallest of them takes more


def test_jpeg_with_thousands_of_scans_is_refused():
    data = saved(Image.new("L", (6000, 6000)), "JPEG", progressive=True, quality=10)
    load_image(data)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    with pytest.raises(ImageError, match="waste time"):
        load_image(data[:-2] + scan * 5000 + data[-2:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "size", "seen"),
    [
        ("JPEG", (8064, 6048), (4032, 3024)),
        ("JPEG", (12000, 9000), (6000, 4500)),
        ("JPEG", (16320, 12240), (4080, 3060)),
        ("progressive", (8064, 6048), (4032, 3024)),
        ("HEIF", (8064, 6048), (4032, 3024)),
        ("AVIF", (8064, 6048), (4032, 3024)),
    ],
)
def test_phones_of_48_to_200_megapixels(format, size, seen):
    """Decoded at half or a quarter of the size: the same picture as one that was stored so small."""
    upright = photo(384, 288)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {
        "progressive": {"progressive": True},
        "AVIF": {"speed": 10},
        "HEIF": {"quality": 50},
    }.get(format, {})
    stored = upright.resize(size, Image.BICUBIC)
    data = saved(stored, "JPEG" if format == "progressive" else format, exif=exif.tobytes(), **options)
    image = load_image(data)
    assert image.size == seen[::-1]
    small = image.resize((288, 384), Image.BOX)
    assert difference(small, upright.transpose(Image.ROTATE_270)) < 8


def test_progressive_pictures_of_200_megapixels_are_refused():
    """Their decoder keeps the coefficients of the whole picture: more than a gigabyte."""
    data = bytearray(saved(photo(), "JPEG", progressive=True))
    place = data.index(b"\xff\xc2")
    data[place + 5 : place + 9] = struct.pack(">HH", 12240, 16320)
    with pytest.raises(ImageError, match="progressive"):
        load_image(bytes(data))
    data[place + 1] = 0xC0  # a plain one with the scans of a progressive one
    with pytest.raises(ImageError, match="progressive"):
        load_image(bytes(data))


def test_bytes_after_the_picture_do_not_matter():
    """Motion photos and polyglots carry other files behind the image."""
    noise = np.random.default_rng(0).integers(0, 256, 1_000_000, dtype=np.uint8).tobytes()
    for format in ("JPEG", "PNG", "GIF", "WEBP"):
        data = saved(photo(), format)
        assert difference(load_image(data + b"PK\x03\x04" + noise), load_image(data)) == 0


# -- colour and orientation -------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(format, orientation):
    upright = photo()
    # The inverse of each orientation, as a camera would store the picture.
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[::-1],
        7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
        8: lambda a: a.swapaxes(0, 1)[:, ::-1],
    }[orientation](np.asarray(upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(stored))
    data = saved(stored, format, exif=exif.tobytes(), **BEST.get(format, {}))
    assert difference(load_image(data), upright) <= LOSS.get(format, 0)


def test_damaged_exif_is_ignored():
    data = saved(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20))
    assert load_image(data).size == photo().size


def test_no_metadata_comes_through():
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif.get_ifd(0x8825)[1] = "N"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "secret place")
    for data in (
        saved(photo(), "JPEG", exif=exif, comment=b"secret place"),
        saved(photo(), "PNG", pnginfo=text, exif=exif),
        saved(photo(), "WEBP", exif=exif, xmp=b"secret place"),
    ):
        image = load_image(data)
        assert image.info == {} and not image.getexif()
        for format in ("png", "jpeg", "webp"):
            written = encode_image(image, format)
            assert b"secret" not in written and b"Camera" not in written
            assert not Image.open(io.BytesIO(written)).getexif()


def test_transparency_is_laid_on_white():
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1)))
    rgba = photo()
    rgba.putalpha(alpha)
    a = np.asarray(alpha, float)[..., None] / 255
    expected = np.asarray(photo(), float) * a + 255 * (1 - a)
    for format in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True, "exact": True} if format == "WEBP" else {}
        result = load_image(saved(rgba, format, **options))
        assert np.abs(np.asarray(result, float) - expected).max() <= 1
    assert np.abs(np.asarray(load_image(np.asarray(rgba)), float) - expected).max() <= 1


def test_transparent_palettes_and_keys():
    grey = photo().convert("L")
    la = grey.copy()
    la.putalpha(Image.new("L", grey.size, 0))
    assert np.asarray(load_image(saved(la, "PNG"))).min() == 255

    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((0, 0), 0)
    for format in ("PNG", "GIF"):
        result = load_image(saved(palette, format, transparency=0))
        assert result.getpixel((0, 0)) == (255, 255, 255) and result.getpixel((1, 1)) == (200, 100, 50)
        assert load_image(saved(palette, format)).getpixel((0, 0)) == (10, 20, 30)
    key = Image.new("RGB", (2, 1), (9, 8, 7))
    key.putpixel((1, 0), (1, 2, 3))
    result = load_image(saved(key, "PNG", transparency=(9, 8, 7)))
    assert [result.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (1, 2, 3)]


def test_cmyk_and_grey():
    cmyk = photo().convert("CMYK")
    assert difference(load_image(saved(cmyk, "TIFF")), cmyk.convert("RGB")) == 0
    assert difference(load_image(saved(cmyk, "JPEG", quality=100)), cmyk.convert("RGB")) <= 12
    grey = photo().convert("L")
    assert difference(load_image(saved(grey, "PNG")), grey.convert("RGB")) == 0
    black = photo().convert("1")
    assert difference(load_image(saved(black, "PNG")), black.convert("RGB")) == 0


def test_sixteen_bits_and_floats_are_scaled():
    ramp = np.linspace(0, 1, 64 * 4).reshape(4, 64)
    expected = np.repeat((ramp * 255).round()[..., None], 3, -1)
    deep = [
        saved(Image.fromarray((ramp * 65535).astype(np.uint16)), "PNG"),
        saved(Image.fromarray((ramp * 65535).astype(np.uint16)), "TIFF"),
        saved(Image.fromarray((ramp * 65535).astype(np.int32)), "TIFF"),
        saved(Image.fromarray((ramp * 255).astype(np.int32)), "TIFF"),
        saved(Image.fromarray(ramp.astype(np.float32)), "TIFF"),
        saved(Image.fromarray((ramp * 255).astype(np.float32)), "TIFF"),
        saved(Image.fromarray((ramp * 65535).astype(np.float32)), "TIFF"),
    ]
    for data in deep:
        assert np.abs(np.asarray(load_image(data), float) - expected).max() <= 1
    ramp[0, 0] = np.nan
    with pytest.raises(ImageError, match="finite"):
        load_image(saved(Image.fromarray(ramp.astype(np.float32)), "TIFF"))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["grey-png", "grey-tiff", "png", "tiff", "big-endian-tiff", "packed-tiff"])
def test_few_bits_in_deep_files_are_no_dark_pictures(bits, kind):
    """Cameras and scanners write 10, 12 or 14 bits into files of 16 bits, which do not say so."""
    ramp = np.linspace(0, 1, 96 * 4).reshape(4, 96)
    pixels = np.stack((ramp, ramp**2, 1 - ramp), -1)
    grey = kind.startswith("grey")
    samples = (pixels * (2**bits - 1)).round().astype(np.uint16)
    if grey:
        data = saved(Image.fromarray(samples[..., 0]), kind.rpartition("-")[2].upper())
    elif kind == "png":
        data = png_of_sixteen_bits(samples)
    else:
        tifffile = pytest.importorskip("tifffile")
        buffer = io.BytesIO()
        options = {"compression": "zlib"} if kind == "packed-tiff" else {}
        order = ">" if kind == "big-endian-tiff" else "<"
        tifffile.imwrite(buffer, samples, photometric="rgb", byteorder=order, **options)
        data = buffer.getvalue()
    expected = np.repeat(pixels[..., :1], 3, -1) if grey else pixels
    error = np.abs(np.asarray(load_image(data), float) - expected * 255).max()
    assert error <= 1, f"{error} of 255"


def test_icc_profile_is_applied():
    """A profile with swapped primaries must swap colours; sRGB and damaged ones must change nothing."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert difference(load_image(saved(photo(), "PNG", icc_profile=srgb)), photo()) == 0
    assert difference(load_image(saved(photo(), "PNG", icc_profile=b"damaged" * 30)), photo()) == 0

    # Exchange the red and green primaries and give the profile another name.
    swapped = srgb.replace(b"rXYZ", b"tmp!").replace(b"gXYZ", b"rXYZ").replace(b"tmp!", b"gXYZ")
    for name in (b"sRGB", "sRGB".encode("utf-16-be")):
        swapped = swapped.replace(name, name.replace(b"s", b"t"))
    flat = Image.new("RGB", (8, 8), (200, 60, 30))
    result = load_image(saved(flat, "PNG", icc_profile=swapped)).getpixel((4, 4))
    assert np.abs(np.subtract(result, (60, 200, 30))).max() <= 2


def test_animations_give_their_first_frame():
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert load_image(data).getpixel((5, 5)) == (255, 0, 0), format


def test_one_pixel():
    assert load_image(saved(Image.new("RGB", (1, 1), "red"), "PNG")).getpixel((0, 0)) == (255, 0, 0)


# -- damaged files ----------------------------------------------------------------------------------


def samples() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = photo()
    rgba.putalpha(100)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return [
        saved(photo(), "PNG", icc_profile=srgb),
        saved(rgba, "PNG"),
        saved(photo(), "JPEG", exif=exif, icc_profile=srgb),
        saved(photo(), "JPEG", progressive=True),
        saved(photo().convert("CMYK"), "JPEG"),
        saved(photo(), "WEBP", exif=exif.tobytes()),
        saved(photo(), "WEBP", save_all=True, append_images=[photo()]),
        saved(photo(), "GIF", save_all=True, append_images=[photo()]),
        saved(photo(), "BMP"),
        saved(photo(), "TIFF"),
        saved(photo(), "TIFF", compression="tiff_lzw"),
        saved(photo(), "TIFF", compression="jpeg"),
        saved(photo().convert("I;16"), "PNG"),
        png_of_sixteen_bits(np.asarray(photo()).astype(np.uint16) * 16),
        saved(photo(), "AVIF"),
        saved(photo(), "HEIF"),
    ]


SAMPLES = samples()


@pytest.mark.parametrize("data", SAMPLES, ids=range(len(SAMPLES)))
def test_truncated_files(data):
    refused = 0
    for keep in np.linspace(1, len(data) - 1, 60).astype(int):
        try:
            assert load_image(data[:keep]).mode == "RGB"
        except ImageError:
            refused += 1
    assert refused >= 50  # a few bytes at the end may be dispensable


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(0, len(SAMPLES) - 1),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=20),
)
def test_flipped_bytes_raise_nothing_else(which, changes):
    data = bytearray(SAMPLES[which])
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        image = load_image(bytes(data))
    except ImageError:
        return
    assert image.mode == "RGB" and image.width * image.height <= images.MAX_PIXELS


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"RIFF"]),
    st.binary(),
)
def test_random_bytes_raise_nothing_else(start, rest):
    with pytest.raises(ImageError):
        load_image(start + rest)


# -- arrays and tensors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((3, 20, 30), np.uint8), "channels first"),
        (np.zeros((2, 20, 30, 3), np.uint8), r"\[H, W, 3\]"),
        (np.zeros((20, 30, 2), np.uint8), r"\[H, W, 3\]"),
        (np.zeros((0, 0, 3), np.uint8), "no pixels"),
        (np.zeros((20, 30, 3), np.int64), "int64"),
        (np.full((20, 30, 3), 255.0), "rescale"),
        (np.full((20, 30, 3), -1.0), "rescale"),
        (np.full((20, 30, 3), np.nan), "rescale"),
        (np.zeros((20, 30, 3), object), "object"),
        (torch.zeros(1, 3, 20, 30), r"\[3, H, W\]"),
        (torch.zeros(20, 30, 3), r"\[3, H, W\]"),
        (torch.zeros(3, 0, 0), "no pixels"),
        (torch.full((3, 20, 30), 2.0), "rescale"),
        (torch.full((3, 20, 30), float("inf")), "rescale"),
        (torch.zeros(3, 20, 30, dtype=torch.int64), "int64"),
        (torch.zeros(3, 1, 1).expand(3, 20_000, 20_000), "megapixels"),
        (np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)), "megapixels"),
    ],
)
def test_wrong_arrays(source, message):
    with pytest.raises(ImageError, match=message):
        load_image(source)


def test_tensor_round_trip():
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).repeat(3, 1, 1)
    assert torch.equal((to_tensor(to_image(every / 255)) * 255).round().to(torch.uint8), every)
    tensor = to_tensor(photo())
    assert tensor.shape == (3, 30, 40) and tensor.dtype == torch.float32
    assert tensor[0, 0, 39] == photo().getpixel((39, 0))[0] / 255
    assert to_image(torch.tensor([-1.0, 0.5, 2.0]).reshape(3, 1, 1)).getpixel((0, 0)) == (0, 128, 255)
    for wrong in (torch.zeros(1, 4, 4), torch.zeros(3, 0, 4), torch.full((3, 2, 2), float("nan"))):
        with pytest.raises(ImageError):
            to_image(wrong)


# -- writing ----------------------------------------------------------------------------------------


def test_encoded_pictures_read_back():
    for format, tolerance in (("png", 0), ("jpg", 6), ("jpeg", 6), ("webp", 25)):
        assert difference(load_image(encode_image(photo(), format)), photo()) <= tolerance
    assert difference(load_image(encode_image(to_tensor(photo()))), photo()) == 0
    assert len(encode_image(photo(), "jpeg", quality=10)) < len(encode_image(photo(), "jpeg", quality=95))


def test_wrong_encoding_options():
    for options in ({"format": "gif"}, {"format": "png", "quality": 0}, {"format": "jpeg", "quality": 101}):
        with pytest.raises(ConfigError):
            encode_image(photo(), **options)
    with pytest.raises(ImageError, match="another format or size"):
        encode_image(Image.new("RGB", (16_384, 1)), "webp")


def test_memory_of_a_large_photo_stays_bounded():
    """The largest allowed photo, decoded in a fresh process."""
    script = """
import resource
from PIL import Image
from facesep.images import encode_image, load_image
data = encode_image(Image.new("RGB", (8000, 5000), "teal"), "jpeg")
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert load_image(data).size == (8000, 5000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300


def test_errors_belong_to_the_family():
    assert issubclass(ImageError, FaceSepError)
