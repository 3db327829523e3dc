"""What save writes: every format carries both marks, appears whole, and refuses what it cannot hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from facesep import provenance, save
from facesep.animation import encode_animation
from facesep.errors import ConfigError, FaceSepError, VideoError
from facesep.images import load_image
from facesep.saving import check_frames
from facesep.video import video_info


@pytest.fixture
def pictures(photos) -> list[Image.Image]:
    return [load_image(photo).resize((256, 256)) for photo in photos]


def clear(image: Image.Image) -> Image.Image:
    """The picture with a round, soft mask."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    alpha = np.clip((1 - np.hypot(x, y)) * 800, 0, 255).astype(np.uint8)
    return Image.fromarray(np.dstack((np.asarray(image), alpha)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_picture(pictures, tmp_path, suffix):
    path = save(pictures[0], tmp_path / f"face.{suffix}")
    assert path.read_bytes() == provenance.encode(pictures[0], suffix)
    tensor = torch.from_numpy(np.asarray(pictures[0]).copy()).permute(2, 0, 1) / 255
    assert save(tensor, tmp_path / f"tensor.{suffix}").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webp"])
def test_what_moves(pictures, tmp_path, name):
    done = []
    path = save(iter(pictures), tmp_path / name, fps=8, on_frame=done.append)
    assert done == [1, 2, 3, 4] and path == tmp_path / name
    assert provenance.verify(path).how == ("label", "watermark")
    if name == "a.mp4":
        assert video_info(path).fps == 8
        return
    with Image.open(path) as file:
        frames = [(frame.convert("RGB"), frame.info["duration"]) for frame in ImageSequence.Iterator(file)]
        assert file.info["loop"] == 0
    assert sum(lasts for _, lasts in frames) == 500
    for (shown, _), picture in zip(frames, pictures, strict=True):
        difference = np.abs(np.asarray(shown, np.float32) - np.asarray(picture, np.float32))
        assert difference.mean() < 8


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_animations_without_their_label_keep_the_watermark(pictures, name):
    marked = [provenance.mark(picture) for picture in pictures]
    assert provenance.verify(encode_animation(marked, name[2:], 10)).how == ("watermark",)
    assert not provenance.verify(encode_animation(pictures, name[2:], 10, comment=b"a fan")).made_by_facesep


@pytest.mark.parametrize("where", ["frames/%04d.png", "frames", "frames/"])
def test_a_folder_of_frames(pictures, tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    folder = save(pictures, where)
    assert folder == Path("frames")
    names = sorted(one.name for one in folder.iterdir())
    assert names == [f"{number:0{4 if '%' in where else 5}}.png" for number in (1, 2, 3, 4)]
    assert (folder / names[1]).read_bytes() == provenance.encode(pictures[1])
    with pytest.raises(ConfigError, match="not empty"):
        save(pictures, where)


def test_transparency_stays(pictures, tmp_path):
    frames = [clear(picture) for picture in pictures]
    path = save(frames, tmp_path / "a.webp")
    with Image.open(path) as file:
        assert file.n_frames == 4
        shown = np.asarray(file.convert("RGBA"))[..., 3]
        assert np.abs(shown.astype(int) - np.asarray(frames[0])[..., 3]).max() < 3
    assert provenance.verify(path).how == ("label", "watermark")
    save(frames, tmp_path / "frames")
    assert Image.open(tmp_path / "frames" / "00002.png").mode == "RGBA"
    with pytest.raises(ConfigError, match="GIF"):
        save(frames, tmp_path / "a.gif")
    for name in ("a.gif", "a.mp4", "a/%d.jpg"):
        with pytest.raises(ConfigError, match="no transparency"):
            check_frames(name, 10, "transparent")


def test_what_cannot_be_written_leaves_nothing(pictures, tmp_path):
    def broken():
        yield pictures[0]
        raise VideoError("a frame is missing")

    for name in ("a.mp4", "a.gif", "a.webp", "a"):
        with pytest.raises(VideoError, match="missing"):
            save(broken(), tmp_path / name)
        with pytest.raises(FaceSepError, match="no frames"):
            save([], tmp_path / name)
    for bad, options in (
        ("a.avi", {}),
        ("%d.tiff", {}),
        ("a.gif", {"fps": 60}),
        ("a.mp4", {"fps": 0}),
        ("no/a.gif", {}),
        ("no/where/", {}),
        ("x" * 300, {}),
    ):
        with pytest.raises(FaceSepError):
            save(pictures, tmp_path / bad, **options)
    with pytest.raises(VideoError, match="one size"):
        save([pictures[0], pictures[1].resize((64, 64))], tmp_path / "a.gif")
    for name in ("a.gif", "a.mp4", "a"):
        with pytest.raises(ConfigError, match=r"\.png"):
            save(pictures[0], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_orbits_are_written_in_the_form_of_their_path(sep, photos, tmp_path):
    codes = sep.encode(photos[0])
    frames = list(sep.orbit(codes, frames=4, background="transparent"))
    assert [frame.mode for frame in frames] == ["RGBA"] * 4
    path = sep.orbit(codes, tmp_path / "orbit.webp", frames=4, background="transparent")
    with Image.open(path) as file:
        assert file.n_frames == 4 and file.mode == "RGBA"
    assert sep.orbit(codes, tmp_path / "turn" / "%d.jpg", frames=3) == tmp_path / "turn"
    assert len(list((tmp_path / "turn").glob("*.jpg"))) == 3
    with pytest.raises(ConfigError, match="MP4 has no transparency"):
        sep.orbit(codes, tmp_path / "orbit.mp4", background="transparent")
