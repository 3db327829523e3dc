"""A video that moves a face: what is read from it, smoothing, and what is rendered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesep import driving, provenance
from facesep.codes import Codes
from facesep.driving import Motion, follow, smooth
from facesep.errors import CodesError, ConfigError, FaceError, VideoError
from facesep.images import load_image
from facesep.video import read_sound, video_info, write_video

pytest.importorskip("av")

FPS = 15


def read_motion(sep, path: Path, *on_step, fps: float = FPS) -> Motion:
    return driving.read_motion(follow(sep, path, fps, 8), path, fps, 8, *on_step)


@pytest.fixture(scope="module")
def codes(sep, photos) -> Codes:
    return sep.encode(photos[1])


@pytest.fixture
def motion() -> Motion:
    generator = torch.Generator().manual_seed(0)
    return Motion(torch.randn(9, 64, generator=generator), 0.1 * torch.randn(9, 3, generator=generator), FPS)


def test_smoothing_keeps_what_does_not_shake():
    time = torch.arange(40.0)[:, None]
    assert torch.allclose(smooth(torch.full((40, 2), 3.0), 1.5), torch.tensor(3.0))
    assert torch.allclose(smooth(0.1 * time, 1.5)[8:-8], 0.1 * time[8:-8], atol=1e-6)  # steady movement
    impulse = torch.zeros(41, 1)
    impulse[20] = 1
    weights = np.exp(-0.5 * (np.arange(-20, 21) / 1.5) ** 2)
    assert np.allclose(smooth(impulse, 1.5)[:, 0].numpy(), weights / weights.sum(), atol=1e-6)
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    expected = float(np.square(weights / weights.sum()).sum())
    assert float(smooth(noise, 1.5).var()) == pytest.approx(expected, rel=0.15)
    assert smooth(torch.ones(1, 3), 1.5).tolist() == [[1, 1, 1]]


def test_missing_frames_lie_between_their_neighbours():
    filled = driving._between(torch.tensor([[1.0, 10.0], [4.0, -20.0]]), [1, 4], 6)
    assert torch.allclose(filled[:, 0], torch.tensor([1.0, 1, 2, 3, 4, 4]))
    assert torch.allclose(filled[:, 1], torch.tensor([10.0, 10, 0, -10, -20, -20]))


def film(pictures: list[Image.Image], path: Path, fps: float = 15) -> Path:
    return write_video(pictures, path, fps, crf=4)


def test_a_still_video_gives_the_codes_of_its_photo(sep, photos, tmp_path):
    picture = load_image(photos[0])
    steps = []
    motion = read_motion(sep, film([picture] * 4, tmp_path / "a.mp4"), lambda *step: steps.append(step))
    expected = sep.encode(picture)
    assert len(motion) == 4 and motion.missed == 0 and motion.sound is None
    other = sep.encode(photos[1])  # compression changes codes a little, far less than another face
    for name in ("rotation", "expression"):
        own, theirs = getattr(expected, name), getattr(other, name)
        assert float((getattr(motion, name) - own).norm(dim=1).max()) < 0.4 * float((theirs - own).norm())
    assert steps == [("Looking at the video", done, 4) for done in range(5)]


@pytest.mark.parametrize(("count", "fps"), [(1, 1), (4, 4), (8, 60), (24, 120)])
def test_the_duration_is_that_of_the_video(sep, photos, tmp_path, count, fps):
    looked, look = [], driving.look
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driving, "look", lambda *a: looked.append(a) or look(*a))
        motion = read_motion(sep, film([load_image(photos[0])] * count, tmp_path / "a.mp4", fps))
    assert abs(len(motion) / FPS - count / fps) <= 1 / FPS
    assert len(looked) <= count  # a frame that is shown for long is looked at once


def test_frames_without_a_face_are_filled_in_and_counted(sep, photos, tmp_path):
    face, nothing = load_image(photos[0]), Image.new("RGB", (512, 512), "white")
    face = face.resize((512, 512))
    motion = read_motion(sep, film([face, nothing, face], tmp_path / "a.mp4"))
    assert motion.missed == 1
    assert torch.allclose(motion.rotation[1], motion.rotation[[0, 2]].mean(0), atol=1e-6)
    with pytest.raises(FaceError, match="1 of 3 frames"):
        read_motion(sep, film([face, nothing, nothing], tmp_path / "b.mp4"))


def test_the_same_face_is_followed(sep, photos, tmp_path):
    anna, ben = (load_image(path).resize((400, 400)) for path in photos[:2])

    def scene(size: int) -> Image.Image:
        sheet = Image.new("RGB", (900, 420), "white")
        sheet.paste(anna, (10, 10))
        sheet.paste(ben.resize((size, size)), (470, 10))
        return sheet

    first, second = driving.find_faces(scene(300)), driving.find_faces(scene(400))
    assert first[0].points[0, 0] < 450  # at first the largest
    followed = driving._follow(second[::-1], first[0])
    assert followed.points[0, 0] < 450


def test_only_what_is_chosen_moves(sep, codes, motion):
    moving = driving.tracks(codes, motion, ["rotation"])
    for one, pose in zip(driving.moved(codes, moving), smooth(motion.rotation, 1.5), strict=True):
        assert torch.equal(one.rotation, pose) and torch.equal(one.expression, codes.expression)
    for wrong in ([], ["hair"], ["rotation", "shape"], "hair"):
        with pytest.raises(CodesError, match="choose"):
            driving.tracks(codes, motion, wrong)
    with pytest.raises(CodesError, match="one face"):
        driving.tracks(codes.batch(), motion)


def test_relative_motion_starts_where_the_face_is(codes, motion):
    plain = driving.tracks(codes, motion)
    moving = driving.tracks(codes, motion, relative=True)
    for name, track in moving.items():
        torch.testing.assert_close(track[0], getattr(codes, name))
        torch.testing.assert_close(track.diff(dim=0), plain[name].diff(dim=0))


def test_a_face_is_driven_in_one_call(sep, photos, tmp_path):
    """The frames, and the same as a file with the video's duration and sound."""
    time = np.arange(36_000) / 48_000
    sound = np.repeat((8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)[None], 2, 0)
    pictures = [load_image(path).resize((320, 320)) for path in (photos[0], photos[0], photos[1])]
    video = write_video(pictures, tmp_path / "a.mp4", 4, sound=sound)
    steps: list[tuple] = []
    shown = list(sep.drive(photos[1], video, on_step=lambda *step: steps.append(step), size=64))
    assert [image.size for image in shown] == [(64, 64)] * 3
    assert steps[:4] == [("Looking at the video", done, 3) for done in range(4)]
    assert steps[4:] == [("Rendering", done, 3) for done in (1, 2, 3)]
    path = sep.drive(photos[1], video, tmp_path / "b.mp4", size=64)
    info = video_info(path)
    assert (info.fps, info.frames, info.width) == (4, 3, 64) and provenance.verify(path).made_by_facesep
    assert read_sound(path, 0.7) is not None
    silent = sep.drive(photos[1], video, tmp_path / "c.mp4", size=64, sound=False, fps=8, seconds=0.5)
    assert read_sound(silent, 0.5) is None and video_info(silent).frames == 4


def test_a_driven_expression_stands_in_its_photo(sep, photos, tmp_path):
    video = film([load_image(photos[0]).resize((320, 320))] * 2, tmp_path / "a.mp4")
    portrait = sep.portrait(photos[1], keep=True)
    frames = list(sep.drive(portrait, video, attributes="expression", background="keep"))
    assert {image.size for image in frames} == {load_image(photos[1]).size}
    for options, message in (
        ({"background": "keep"}, "attributes='expression'"),
        ({"background": "transparent", "path": tmp_path / "b.mp4"}, "no transparency"),
        ({"fps": 0}, "fps"),
        ({"seconds": "2"}, "seconds"),
        ({"sound": 1}, "sound"),
    ):
        with pytest.raises(ConfigError, match=message):
            sep.drive(portrait, video, **options)


def test_what_is_no_video_is_refused(sep, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"hello")
    with pytest.raises(VideoError):
        read_motion(sep, path)
