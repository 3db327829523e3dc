"""The watermark is invisible, survives what happens to pictures, and is not found where it is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from facesep import watermark
from facesep.images import encode_image, load_image
from facesep.video import read_frames, write_video
from facesep.watermark import PSNR, detect, embed

MESSAGE = 0xC0FFEE01


def face(size: int = 256, seed: int = 0) -> Image.Image:
    """A head on white: shaded skin with pores, streaks of hair, eyes and a mouth."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    light = generator.uniform(-1, 1, 2)
    shade = 170 + 50 * (light[0] * (x - 0.5) + light[1] * (y - 0.5)) - 90 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    skin = np.stack((shade, shade * 0.8, shade * 0.65), -1) * generator.uniform(0.5, 1.2)
    streaks = Image.fromarray(generator.normal(60, 60, (4, size)).clip(0, 255).astype(np.uint8)).resize(
        (size, size)
    )
    hair = np.repeat(np.asarray(streaks, float)[..., None], 3, -1)
    pixels = np.where((y < 0.3 + 0.06 * np.sin(9 * x))[..., None], hair, skin)
    pixels = pixels + generator.normal(0, 3, (size, size, 1))
    pixels[(x - 0.5) ** 2 / 0.14 + (y - 0.5) ** 2 / 0.19 > 1] = 255
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for left, top, right, bottom in ((0.3, 0.42, 0.4, 0.46), (0.6, 0.42, 0.7, 0.46), (0.4, 0.7, 0.6, 0.74)):
        draw.ellipse([left * size, top * size, right * size, bottom * size], fill=(60, 30, 30))
    return image.filter(ImageFilter.GaussianBlur(size / 400))


def texture(size: int, seed: int) -> Image.Image:
    """Noise with a natural spectrum, falling with the frequency."""
    generator = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    radius[0, 0] = 1
    waves = np.fft.ifft2(
        np.fft.fft2(generator.normal(size=(size, size))) / radius ** generator.uniform(0, 2)
    ).real
    return Image.fromarray((128 + 50 * waves / waves.std()).clip(0, 255).astype(np.uint8)).convert("RGB")


def again(format: str, quality: int):
    def save(image: Image.Image) -> Image.Image:
        return load_image(encode_image(image, format, quality=quality))

    return save


def jpeg_with_half_colour(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return load_image(buffer.getvalue())


def resized(factor: float):
    return lambda image: image.resize([round(side * factor) for side in image.size], Image.Resampling.BICUBIC)


def lit(factor: float):
    return lambda image: Image.fromarray((np.asarray(image, float) * factor).clip(0, 255).astype(np.uint8))


def noisy(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 5, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


ATTACKS = {
    "nothing": lambda image: image,
    "JPEG 50": again("jpeg", 50),
    "JPEG 50, half colour": jpeg_with_half_colour,
    "WebP 80": again("webp", 80),
    "half size": resized(0.5),
    "double size": resized(2.0),
    "odd size": resized(0.83),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "brighter": lit(1.15),
    "darker": lit(0.7),
    "noise": noisy,
    "grey": lambda image: image.convert("L").convert("RGB"),
    "twice JPEG 75": lambda image: again("jpeg", 75)(again("jpeg", 75)(image)),
}


def psnr(a: Image.Image, b: Image.Image) -> float:
    return 10 * np.log10(255**2 / ((np.asarray(a, float) - np.asarray(b, float)) ** 2).mean())


# -- survival ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("size", [256, 512])
def test_survives(attack, size):
    changed = ATTACKS[attack](embed(face(size, seed=size), MESSAGE))
    found = detect(changed, search=False)
    assert found is not None and found.message == MESSAGE


@pytest.mark.parametrize("attack", ["nothing", "JPEG 90", "WebP 95", "double size", "blur", "brighter"])
def test_smallest_pictures_survive_less(attack):
    attacks = ATTACKS | {"JPEG 90": again("jpeg", 90), "WebP 95": again("webp", 95)}
    found = detect(attacks[attack](embed(face(128), MESSAGE)), search=False)
    assert found is not None and found.message == MESSAGE


@pytest.mark.parametrize(("part", "seed"), [(0.95, 0), (0.8, 1), (0.6, 2)])
def test_survives_crops(part, seed):
    side = int(256 * part)
    left, top = np.random.default_rng(seed).integers(0, 257 - side, 2)
    found = detect(embed(face(256, seed), MESSAGE).crop((left, top, left + side, top + side)))
    assert found is not None and found.message == MESSAGE
    assert found.scale == pytest.approx(256 / side, rel=0.01)


def test_survives_a_larger_page():
    """A marked picture pasted into a white page and saved as JPEG."""
    page = Image.new("RGB", (330, 330), "white")
    page.paste(embed(face(), MESSAGE), (31, 17))
    found = detect(again("jpeg", 75)(page))
    assert found is not None and found.message == MESSAGE


def test_survives_video(tmp_path):
    """Frames that differ help each other: the picture's own share changes, the watermark does not."""
    frames = [embed(face().rotate(2 * i, fillcolor="white"), MESSAGE) for i in range(24)]
    read = [Image.fromarray(f) for f in read_frames(write_video(frames, tmp_path / "a.mp4", crf=23))]
    found = detect(read[::4], search=False)
    assert found is not None and found.message == MESSAGE
    assert detect([face().rotate(8 * i, fillcolor="white") for i in range(6)], search=False) is None


@pytest.mark.parametrize("size", [(300, 256), (256, 411), (1024, 640), (128, 128), (129, 200)])
def test_other_shapes(size):
    image = texture(max(size), 3).crop((0, 0, *size))
    marked = embed(image, MESSAGE)
    assert marked.size == size and detect(marked, search=False).message == MESSAGE


# -- invisibility -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [256, 512])
def test_change_is_small(size):
    image = face(size)
    marked = embed(image, MESSAGE)
    assert max(40.0, PSNR - 0.2) < psnr(image, marked) < PSNR + 1
    before, after = np.asarray(image, float), np.asarray(marked, float)
    assert np.abs(after - before).max() < 40
    background = before.min(-1) >= 254
    assert background.mean() > 0.2 and np.abs(after - before)[background].mean() < 0.2


def test_plain_colours():
    """White stays white; elsewhere the change stays as faint as anywhere."""
    white = Image.new("RGB", (256, 256), "white")
    assert embed(white, MESSAGE).tobytes() == white.tobytes()
    for colour in ("black", "grey", (250, 250, 250)):
        image = Image.new("RGB", (256, 256), colour)
        assert psnr(image, embed(image, MESSAGE)) > PSNR - 0.2


# -- no false alarms --------------------------------------------------------------------------------


def test_unmarked_pictures():
    pictures = [face(256, seed) for seed in range(12)] + [texture(256, seed) for seed in range(12)]
    plain = [Image.new("RGB", (300, 200), "white"), photo_of_stripes()]
    assert not any(detect(picture, search=False) for picture in pictures + plain)
    for picture in (face(256, 1), photo_of_stripes()):
        assert detect(picture) is None


def photo_of_stripes() -> Image.Image:
    """A strong regular pattern inside the band."""
    wave = 128 + 100 * np.sin(np.arange(256) * 2 * np.pi * 12 / 64)
    return Image.fromarray(np.tile(wave.astype(np.uint8), (256, 1))).convert("RGB")


def test_bits_are_rarely_read_from_nothing():
    """With the CRC (2 ** -16) and four looks, this bounds the rate of false alarms by 1e-4."""
    tones = watermark._tones("facesep")
    flat = np.random.default_rng(0).normal(size=(1000, 64, 64))
    passed = sum(watermark._peak(one, tones)[0] >= watermark.THRESHOLD for one in flat)
    assert passed / len(flat) < 0.05


def test_crc_catches_wrong_bits():
    values = 2.0 * watermark._encode(MESSAGE) - 1
    assert watermark._decode(values) == MESSAGE and len(values) == 48
    for i in range(48):
        wrong = values.copy()
        wrong[i] *= -1
        assert watermark._decode(wrong) is None
    draws = np.random.default_rng(0).normal(size=(10_000, 48))
    assert sum(watermark._decode(one) is not None for one in draws) <= 3


def test_weak_bits_may_be_wrong():
    """Up to three of the eight least sure bits are corrected, sure ones never."""
    values = 2.0 * watermark._encode(MESSAGE) - 1
    values[[3, 17, 40]] *= -0.1
    assert watermark._decode(values, flips=3) == MESSAGE
    assert watermark._decode(values, flips=2) is None
    values[[3, 17, 40]] *= 50
    assert watermark._decode(values, flips=3) is None


def test_keys():
    marked = embed(face(), MESSAGE, key="ours")
    assert detect(marked, "ours", search=False).message == MESSAGE
    assert detect(marked, search=False) is None
    with pytest.raises(ValueError, match="32 bits"):
        embed(face(), 2**32)


def test_several_keys_find_what_each_finds_alone():
    cut = embed(face(320), MESSAGE, "mine").crop((10, 30, 290, 310))
    for search in (False, True):
        each = watermark.detect_each(cut, ["other", "mine"], search=search)
        assert each == [detect(cut, key, search=search) for key in ("other", "mine")]
    assert each[0] is None and each[1].message == MESSAGE
    assert watermark.detect_each(face().resize((1000, 50)), ["one", "two"]) == [None, None]


def test_tones_are_the_same_everywhere():
    """The places and phases are a file format: a change would orphan every marked picture."""
    tones = watermark._tones("facesep")
    assert tones.share == 4 and len(tones.rows) == 56 + 4 * 48
    places = list(zip(tones.rows.tolist(), tones.columns.tolist(), strict=True))
    assert len(set(places)) == len(places)
    assert places[:3] == [(51, 7), (53, 6), (7, 9)]
    assert np.angle(tones.phases[:3]) == pytest.approx([0.046628, 2.733000, 1.129621], abs=1e-6)


def test_same_input_same_output():
    assert embed(face(), MESSAGE).tobytes() == embed(face(), MESSAGE).tobytes()


def test_small_and_long_pictures_are_left_alone():
    for image in (face(96), face(256).crop((0, 100, 256, 130)), Image.new("RGB", (1, 16_000), "grey")):
        assert embed(image, MESSAGE).tobytes() == image.tobytes()
        assert detect(image, search=image.width == 1) is None
