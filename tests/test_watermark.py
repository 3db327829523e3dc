"""The watermark is invisible, survives what happens to pictures, and is not found where it is not."""

from __future__ import annotations

import binascii
import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from facesep import first_watermark, watermark
from facesep.errors import ConfigError
from facesep.images import encode_image, load_image
from facesep.video import read_frames, write_video
from facesep.watermark import THRESHOLD, best_matches, detect, detect_each, embed


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
    "mirrored": ImageOps.mirror,
    "turned by 5": lambda image: image.rotate(5, Image.Resampling.BICUBIC, fillcolor="white"),
    "turned by -5, mirrored": lambda image: ImageOps.mirror(
        image.rotate(-5, Image.Resampling.BICUBIC, fillcolor="white")
    ),
    "cut to the head": lambda image: image.crop(
        [round(part * image.width) for part in (0.13, 0.07, 0.87, 0.93)]
    ),
    "cut to 60 %": lambda image: image.crop([round(part * image.width) for part in (0.2, 0.25, 0.8, 0.85)]),
}


def psnr(a: Image.Image, b: Image.Image) -> float:
    return 10 * np.log10(255**2 / ((np.asarray(a, float) - np.asarray(b, float)) ** 2).mean())


# -- survival ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS)
def test_survives(attack):
    assert detect(ATTACKS[attack](embed(face(512)))) is not None


@pytest.mark.parametrize(
    "attack", ["nothing", "JPEG 50", "WebP 80", "double size", "mirrored", "turned by 5"]
)
def test_smaller_pictures_survive_less(attack):
    assert detect(ATTACKS[attack](embed(face(256)))) is not None


def page(size: tuple[int, int], seed: int = 7) -> Image.Image:
    """A picture of something else."""
    return texture(max(size), seed).crop((0, 0, *size))


@pytest.mark.parametrize(
    ("size", "factor", "place"),
    [((800, 600), 1.0, (201, 57)), ((800, 600), 0.6, (17, 240)), ((1600, 1200), 1.0, (701, 93))],
)
def test_survives_a_larger_picture(size, factor, place):
    large = page(size)
    large.paste(resized(factor)(embed(face(512))), place)
    assert detect(again("jpeg", 75)(large)) is not None


def test_what_happened_is_told():
    """Scale, turn and mirroring are those that the picture went through."""
    changed = ImageOps.mirror(embed(face(512))).rotate(-4, Image.Resampling.BICUBIC, fillcolor="white")
    found = detect(changed.crop((64, 64, 448, 448)))
    assert found.mirrored and abs(abs(found.turn) - 4) < 0.3
    assert found.scale == pytest.approx(512 / 384, rel=0.02)


def test_survives_video(tmp_path):
    """Frames help each other: the picture's own share changes, the watermark does not."""
    frames = [embed(face(512).rotate(i, fillcolor="white")) for i in range(24)]
    first = write_video(frames, tmp_path / "a.mp4")
    second = write_video(read_frames(first), tmp_path / "b.mp4", crf=30)
    read = [Image.fromarray(frame) for frame in read_frames(second)]
    assert detect(read[::4]) is not None


@pytest.mark.parametrize("size", [(600, 512), (512, 823), (257, 400), (1200, 300)])
def test_other_shapes(size):
    image = face(max(size)).crop((0, 0, *size))
    marked = embed(image)
    assert marked.size == size and detect(marked) is not None


# -- parts of pictures ------------------------------------------------------------------------------


def head(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask


def test_a_kept_background_stays_bit_for_bit():
    photo = page((900, 700), 3)
    where = head(900, 700, (300, 100, 660, 600))
    marked = embed(photo, where=where)
    changed = (np.asarray(marked) != np.asarray(photo)).any(-1)
    assert not changed[np.asarray(where) == 0].any()
    assert changed[np.asarray(where) > 0].mean() > 0.5
    assert detect(again("jpeg", 50)(marked)) is not None
    assert detect(again("jpeg", 75)(marked.crop((300, 100, 660, 600)))) is not None
    nothing = embed(photo, where=np.zeros((700, 900)))
    assert nothing.tobytes() == photo.tobytes()
    with pytest.raises(ConfigError, match="picture's size"):
        embed(photo, where=where.resize((450, 350)))


def test_a_transparent_background_stays_and_the_head_is_marked():
    image = face(512)
    image.putalpha(head(512, 512, (80, 40, 430, 480)))
    marked = embed(image)
    assert marked.mode == "RGBA"
    before, after = np.asarray(image), np.asarray(marked)
    assert np.array_equal(before[..., 3], after[..., 3])
    assert np.array_equal(before[before[..., 3] == 0], after[before[..., 3] == 0])
    assert detect(load_image(marked)) is not None
    dark = Image.new("RGBA", image.size, "black")
    assert detect(Image.alpha_composite(dark, marked).convert("RGB")) is not None


# -- invisibility -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [256, 512])
def test_change_is_small(size):
    image = face(size)
    marked = embed(image)
    assert psnr(image, marked) > 40
    before, after = np.asarray(image, float), np.asarray(marked, float)
    assert np.abs(after - before).max() < 25
    background = before.min(-1) >= 254
    assert background.mean() > 0.2 and np.abs(after - before)[background].mean() < 0.1


def test_calm_places_are_changed_least():
    """Half of the picture is smooth, half is rough."""
    pixels = np.full((512, 512), 128.0)
    pixels[:, 256:] += np.random.default_rng(0).normal(0, 30, (512, 256))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB")
    change = np.abs(np.asarray(embed(image), float) - np.asarray(image, float))[..., 0]
    assert change[:, :220].mean() < 1.2 < 2 * change[:, :220].mean() < change[:, 300:].mean()


def test_plain_colours():
    """White stays white; elsewhere the change stays faint."""
    white = Image.new("RGB", (256, 256), "white")
    assert embed(white).tobytes() == white.tobytes()
    for colour in ("black", "grey", (250, 250, 250)):
        image = Image.new("RGB", (256, 256), colour)
        assert psnr(image, embed(image)) > 45


# -- no false alarms --------------------------------------------------------------------------------


def test_unmarked_pictures():
    pictures = [face(256, 1), face(512, 2), texture(256, 3), photo_of_stripes()]
    plain = [Image.new("RGB", (300, 200), "white"), Image.new("RGB", (1, 16_000), "grey")]
    assert not any(detect(picture) for picture in pictures + plain)
    assert detect([face(256).rotate(8 * i, fillcolor="white") for i in range(3)]) is None


def photo_of_stripes() -> Image.Image:
    """A strong regular pattern inside the band."""
    wave = 128 + 100 * np.sin(np.arange(256) * 2 * np.pi * 24 / 256)
    return Image.fromarray(np.tile(wave.astype(np.uint8), (256, 1))).convert("RGB")


@pytest.mark.slow
def test_peaks_of_unmarked_pictures_stay_low():
    """320 looks; the highest of many Gaussian numbers foretells the rate of alarms."""
    keys = [f"other {number}" for number in range(40)]
    pictures = [face(256, seed) for seed in range(4)] + [texture(300, seed) for seed in range(4)]
    peaks = np.array([match.peak for picture in pictures for match in best_matches(picture, keys)])
    tail = [math.erfc(height / math.sqrt(2)) / 2 for height in (np.median(peaks), THRESHOLD)]
    assert peaks.max() < THRESHOLD
    assert math.log(2) / tail[0] * tail[1] < 1e-4


# -- keys and formats -------------------------------------------------------------------------------


def test_keys():
    marked = embed(face(320), "ours")
    assert detect(marked, "ours") is not None and detect(marked) is None
    other, ours = detect_each(marked, ["other", "ours"])
    assert other is None and ours.peak >= detect(marked, "ours").peak


def test_the_pattern_is_the_same_everywhere():
    """Places and phases are a file format: a change would orphan every marked picture."""
    places = watermark._places()
    assert len({tuple(place) for place in places.tolist()}) == len(places) == 96
    assert places[:3].tolist() == [[13, 1], [-5, 8], [6, 0]]
    assert np.angle(watermark._phasors("facesep")[:3]) == pytest.approx(
        [1.794188, -2.071269, -1.357039], abs=1e-5
    )


def test_files_of_the_first_watermark_are_read():
    """A picture that an early version marked, saved as JPEG 90."""
    old = load_image(Path(__file__).parent / "data" / "marked_first.jpg")
    assert first_watermark.read(old) == first_watermark.read(old.resize((128, 128))) == 0x1000
    assert first_watermark.read([old, old.rotate(0)]) == 0x1000
    assert detect(old) is None
    for image in (face(256), embed(face(256)), photo_of_stripes(), old.resize((1000, 50))):
        assert first_watermark.read(image) is None


def test_first_watermark_corrects_weak_bits_alone():
    data = (0x1000).to_bytes(4, "big")
    bits = np.unpackbits(np.frombuffer(data + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big"), np.uint8))
    values = 2.0 * bits - 1
    assert first_watermark._decode(values) == 0x1000
    values[[3, 17, 40]] *= -0.1
    assert first_watermark._decode(values) == 0x1000
    values[[3, 17, 40]] *= 50
    assert first_watermark._decode(values) is None


def test_same_input_same_output():
    assert embed(face()).tobytes() == embed(face()).tobytes()


def test_small_pictures_are_left_alone():
    for image in (face(96), face(256).crop((0, 100, 256, 130)), Image.new("RGB", (1, 16_000), "grey")):
        assert embed(image).tobytes() == image.tobytes()
        assert detect(image) is None
