"""Every result is marked, marks are found again, and nothing else is taken for one."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import facesep
from facesep import provenance
from facesep.errors import ConfigError, ImageError, VideoError
from facesep.images import encode_image, load_image, note_made, to_tensor
from facesep.provenance import SOURCE_TYPE, Verdict, encode, verify, write_image, write_video
from facesep.video import read_frames
from facesep.video import write_video as write_plain_video


def photo(size: int = 256, seed: int = 0) -> Image.Image:
    """Smooth shading with some texture, like skin before a plain background."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    shade = 140 + 70 * np.exp(-8 * ((x - 0.5) ** 2 + (y - 0.45) ** 2)) + generator.normal(0, 3, (size, size))
    pixels = np.stack((shade, shade * 0.8, shade * 0.65), -1)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".PNG"])
def test_written_pictures_carry_the_label(tmp_path, suffix):
    path = write_image(photo(), tmp_path / f"face{suffix}")
    verdict = verify(path)
    assert verdict == Verdict(True, ("label", "watermark"), facesep.__version__)
    assert verify(path.read_bytes()) == verdict
    with Image.open(path) as image:
        packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
        tree = ElementTree.fromstring(packet if isinstance(packet, str) else packet.decode())
        attributes = {k.rpartition("}")[2]: v for e in tree.iter() for k, v in e.attrib.items()}
        assert attributes["DigitalSourceType"] == SOURCE_TYPE
        assert attributes["CreatorTool"] == f"facesep {facesep.__version__}"
        if suffix.lower() == ".png":
            assert image.text["Software"] == f"facesep {facesep.__version__}"
            assert "AI-generated" in image.text["Comment"]
        else:
            assert image.getexif()[0x0131] == f"facesep {facesep.__version__}"
            assert "AI-generated" in image.getexif()[0x010E]


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_without_the_label_the_watermark_remains(format):
    stripped = encode_image(load_image(encode(photo(), format)), format)
    assert verify(stripped) == Verdict(True, ("watermark",))


def test_a_video_without_its_label_keeps_the_watermark(tmp_path):
    frames = read_frames(write_video([photo(seed=i) for i in range(12)], tmp_path / "a.mp4"))
    again = write_plain_video(frames, tmp_path / "b.mp4", crf=23)
    assert verify(again) == Verdict(True, ("watermark",))


def test_tiny_pictures_carry_the_label_alone(tmp_path):
    path = write_image(photo(64), tmp_path / "a.png")
    assert verify(path) == Verdict(True, ("label",), facesep.__version__)


def test_the_first_watermark_still_counts_and_tells_its_version():
    old = Path(__file__).parent / "data" / "marked_first.jpg"
    assert verify(old) == Verdict(True, ("watermark",), "0.1.0")
    assert provenance._unpack(12 << 24 | 345 << 12 | 4000) == "12.345.4000"


def test_what_was_not_made_is_not_touched(tmp_path):
    """In pictures and videos that keep their background."""
    where = np.zeros((320, 320), np.float32)
    where[60:280, 50:270] = 1
    path = write_image(photo(320), tmp_path / "a.png", where=where)
    changed = (np.asarray(load_image(path)) != np.asarray(photo(320))).any(-1)
    assert verify(path).how == ("label", "watermark")
    assert changed[where > 0].mean() > 0.5 and not changed[where == 0].any()
    mask = Image.fromarray((255 * where).astype(np.uint8))
    assert encode(photo(320), where=mask) == encode(note_made(photo(320), mask)) == path.read_bytes()
    assert encode(note_made(photo(300), mask)) == encode(
        photo(300)
    )  # the note of another size does not count
    frames = [photo(320, seed) for seed in range(4)]
    noted, marked, plain = (
        np.stack(list(read_frames(write_video(frames, tmp_path / "a.mp4", crf=0, **options)))).astype(float)
        for frames, options in (
            ([note_made(frame, mask) for frame in frames], {}),
            (frames, {"where": [where] * 4}),
            (frames, {"marked": False}),
        )
    )
    assert np.array_equal(noted, marked)
    change = np.abs(marked - plain).mean((0, 3))
    assert change[:40].max() <= 1 < 2 * change[60:280, 50:270].mean()
    with pytest.raises(VideoError, match="frame 3 has no mask"):
        write_video(frames, tmp_path / "b.mp4", where=[where] * 2)
    with pytest.raises(ConfigError, match="picture's size"):
        write_image(photo(320), tmp_path / "b.png", where=where[:100])


def test_tensors_and_images_are_the_same_result():
    assert encode(photo()) == encode(to_tensor(photo()))


def test_unmarked_on_demand_only(tmp_path):
    plain = write_image(photo(), tmp_path / "a.png", marked=False)
    assert np.array_equal(np.asarray(load_image(plain)), np.asarray(photo()))
    assert verify(plain).how == ("label",)
    with Image.open(plain) as image:
        assert "without a watermark" in image.text["Comment"]
    assert b"without a watermark" not in encode(photo())


def test_metadata_of_the_source_does_not_travel():
    exif = Image.Exif()
    exif[0x010F] = "Camera 9000"
    image = photo()
    image.info["exif"] = exif.tobytes()
    image.info["comment"] = image.info["Comment"] = "private"
    for format in ("png", "jpeg", "webp"):
        data = encode(image, format)
        assert b"Camera" not in data and b"private" not in data


def test_others_are_not_taken_for_ours(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "facesepia 1.0.0")
    info.add_text("Comment", "facesep is a word here")
    buffer = io.BytesIO()
    photo().save(buffer, "PNG", pnginfo=info)
    assert verify(buffer.getvalue()) == Verdict(False)
    exif = Image.Exif()
    exif[0x0131] = b"\xff\xfe facesep"
    assert not verify(encode_image(photo(), "jpeg", exif=exif.tobytes())).made_by_facesep
    assert not verify(encode_image(photo(), "webp", xmp=b"<x" + bytes(50))).made_by_facesep


def test_videos(tmp_path):
    frames = [photo(seed=i) for i in range(4)]
    seen = []
    path = write_video(iter(frames), tmp_path / "a.mp4", fps=10, on_frame=seen.append)
    verdict = verify(path)
    assert verdict == Verdict(True, ("label", "watermark"), facesep.__version__)
    assert seen == [1, 2, 3, 4] and len(list(read_frames(path))) == 4
    assert verify(write_video(frames, tmp_path / "b.mp4", marked=False)).how == ("label",)
    assert not verify(write_plain_video(frames, tmp_path / "c.mp4", comment="facesep fan")).made_by_facesep


def test_failures(tmp_path):
    for name in ("a.gif", "a", "a.mp4"):
        with pytest.raises(ConfigError, match=r"\.png"):
            write_image(photo(), tmp_path / name)
    with pytest.raises(ConfigError, match="does not exist"):
        write_image(photo(), tmp_path / "missing" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match="cannot write"):
        write_image(photo(), tmp_path / "folder.png")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]
    with pytest.raises(ImageError):
        verify(b"no picture")
    with pytest.raises(ImageError):
        verify(tmp_path / "missing.png")
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError):
        verify(tmp_path / "b.mp4")
    with pytest.raises(VideoError, match="str"):
        write_video(["a.png"], tmp_path / "c.mp4")


def test_transparency_stays_and_is_white_in_jpeg(tmp_path):
    image = photo(320)
    image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda value: max(0, 2 * value - 255)))
    for suffix in (".png", ".webp", ".jpg"):
        path = write_image(image, tmp_path / f"a{suffix}", quality=100)
        with Image.open(path) as read:
            assert read.mode == ("RGB" if suffix == ".jpg" else "RGBA")
        assert np.asarray(load_image(path))[:40].min() > 245
        assert verify(path).how == ("label", "watermark")


def test_verdicts_speak():
    assert str(Verdict(True, ("label",), "1.2.3")) == "made by facesep 1.2.3 (found: label)"
    assert "proves nothing" in str(Verdict(False))


def test_same_input_same_bytes(tmp_path):
    for suffix in (".png", ".jpg", ".webp"):
        paths = [write_image(photo(), Path(tmp_path / f"{i}{suffix}")) for i in range(2)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
