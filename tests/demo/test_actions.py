"""What the page does, without a page."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from facesep import provenance
from facesep.codes import ATTRIBUTES
from facesep.demo import actions
from facesep.demo.actions import Choice, Subject
from facesep.demo.examples import EXAMPLES, FOLDER
from facesep.demo.limits import MAX_FRAMES, MAX_PITCH, MAX_YAW, check_consent, check_range
from facesep.errors import CodesError, ConfigError, FaceError, ImageError, NoFaceError, VideoError
from facesep.video import video_info


@pytest.fixture(scope="module")
def subjects(sep, photos) -> list[Subject]:
    return [actions.read_photo(sep, path) for path in photos]


def pixels(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_a_photo_is_read_as_the_library_reads_it(sep, photos, subjects):
    expected, codes = sep.encode(photos[0]), subjects[0].codes
    assert torch.equal(codes.vector(), expected.vector())
    assert pixels(subjects[0].picture).size == (sep.image_size,) * 2
    assert not provenance.verify(subjects[0].picture).made_by_facesep  # a crop of a photo is no result


def test_several_faces_are_offered(sep, photos, group):
    choice = actions.read_photo(sep, group)
    assert isinstance(choice, Choice) and len(choice.faces) == 2
    assert "2 faces" in choice.message() and "1: " in choice.message() and "0: " in choice.message(first=0)
    assert pixels(choice.sheet).size == (640, 320)
    chosen = [actions.choose(sep, choice, index).codes.vector() for index in range(2)]
    direct = [actions.read_photo(sep, group, index).codes.vector() for index in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(chosen, direct, strict=True))
    assert not torch.equal(*chosen)
    for wrong in (2, -1, None, True, "0"):
        with pytest.raises(ConfigError, match="no face"):
            actions.choose(sep, choice, wrong)


def test_a_face_that_cannot_be_used_is_refused_when_it_is_chosen(sep, group):
    choice = actions.read_photo(sep, group)
    broken = Choice((choice.faces[0], "the face is too small"), choice.places, choice.sheet)
    with pytest.raises(FaceError, match="too small"):
        actions.choose(sep, broken, 1)


def test_unusable_photos_are_refused(sep):
    with pytest.raises(ImageError, match="not a picture"):
        actions.read_photo(sep, b"hello")
    white = io.BytesIO()
    Image.new("RGB", (300, 300), "white").save(white, "PNG")
    with pytest.raises(NoFaceError):
        actions.read_photo(sep, white.getvalue())
    with pytest.raises(ConfigError, match="whole number"):
        actions.read_photo(sep, white.getvalue(), "0")


def test_transfer_is_that_of_the_library(sep, subjects):
    base, donor = subjects[0].codes, subjects[1].codes
    codes, picture = actions.transfer(sep, base, donor, ["hair"], 0.5)
    expected = base.swap(donor, ["hair"], 0.5)
    assert torch.equal(codes.vector(), expected.vector())
    assert picture == provenance.encode(sep.render(expected))
    assert provenance.verify(picture).made_by_facesep
    for attributes, strength in ((["nose"], 1.0), ([], 1.0)):
        with pytest.raises(CodesError):
            actions.transfer(sep, base, donor, attributes, strength)
    for strength in (-0.1, 1.6, math.nan, "1", None, True):
        with pytest.raises(ConfigError, match="strength"):
            actions.transfer(sep, base, donor, ["hair"], strength)


def test_mix_takes_each_attribute_from_its_donor(sep, subjects):
    base, ben, cara = (subject.codes for subject in subjects[:3])
    codes, picture = actions.mix(sep, base, [("hair", ben), ("illumination", cara)])
    for name, code in codes.items():
        owner = {"hair": ben, "illumination": cara}.get(name, base)
        assert torch.equal(code, getattr(owner, name))
    assert picture == provenance.encode(sep.render(codes))
    for wrong in ([], [("hair", ben)] * 2, [("nose", ben)], [(name, ben) for name in ATTRIBUTES[:5]]):
        with pytest.raises(CodesError):
            actions.mix(sep, base, wrong)


def test_the_difference_is_dark_where_renders_differ(sep, subjects):
    one, other = subjects[0].codes, subjects[1].codes
    assert np.asarray(pixels(actions.difference(sep, one, one))).min() == 255
    found = np.asarray(pixels(actions.difference(sep, one, other)), float)
    a, b = (np.asarray(sep.render(codes), float) for codes in (one, other))
    expected = 255 - np.clip(3 * np.abs(a - b).mean(-1), 0, 255)
    assert np.abs(found - expected[..., None]).max() <= 4  # renders are rounded to 8 bits


def test_check_reads_pictures_and_videos_and_leaves_nothing(sep, subjects, tmp_path):
    def check(data: bytes, suffix: str) -> provenance.Verdict:
        folder = tmp_path / "check"
        folder.mkdir()
        try:
            return actions.check(data, suffix, folder)
        finally:
            assert not folder.exists()

    video = actions.orbit(sep, subjects[0].codes, tmp_path / "a.mp4", frames=8)
    assert check(video.read_bytes(), ".mp4").made_by_facesep
    assert check(actions.turn(sep, subjects[0].codes), ".png").how == ("label",)  # too small for pixels
    assert not check(subjects[0].picture, ".jpg").made_by_facesep
    for data, suffix in ((b"hello", ".txt"), (b"hello", ".mp4"), (b"", "")):
        with pytest.raises((ImageError, VideoError)):
            check(data, suffix)


def test_turn(sep, subjects):
    codes = subjects[0].codes
    assert actions.turn(sep, codes) == provenance.encode(sep.render(codes))
    assert actions.turn(sep, codes, 30, -10) == provenance.encode(sep.render(codes, yaw=30, pitch=-10))
    for yaw, pitch in ((MAX_YAW + 1, 0), (0, -MAX_PITCH - 1), (math.nan, 0), ("5", 0)):
        with pytest.raises(ConfigError, match="yaw|pitch"):
            actions.turn(sep, codes, yaw, pitch)


def test_orbit(sep, subjects, tmp_path):
    counted = []
    path = actions.orbit(
        sep, subjects[0].codes, tmp_path / "a.mp4", frames=5, fps=10, on_frame=counted.append
    )
    assert counted == [1, 2, 3, 4, 5]
    assert (video_info(path).frames, video_info(path).fps) == (5, 10)
    assert provenance.verify(path).made_by_facesep
    for wrong in ({"frames": MAX_FRAMES + 1}, {"frames": 2.5}, {"fps": 0}, {"yaw": 90}, {"pitch": "8"}):
        with pytest.raises(ConfigError):
            actions.orbit(sep, subjects[0].codes, tmp_path / "b.mp4", **wrong)
    assert sorted(tmp_path.iterdir()) == [path]


def test_angles_are_degrees_within_the_sliders(subjects):
    codes = subjects[0].codes.replace(rotation=torch.tensor([math.radians(-7), math.radians(12), 1.0]))
    assert actions.angles(codes) == pytest.approx((12, -7))
    assert actions.angles(codes.replace(rotation=torch.tensor([2.0, -2.0, 0.0]))) == (-MAX_YAW, MAX_PITCH)


@pytest.mark.parametrize("consent", [False, None, 1, "true", [True]])
def test_only_true_is_consent(consent):
    with pytest.raises(ConfigError, match="consent"):
        check_consent(consent)
    check_consent(True)


def test_ranges_include_their_ends():
    assert check_range("x", 1, 1, 2) == 1 and check_range("x", 2.0, 1, 2) == 2
    with pytest.raises(ConfigError, match="x must be a number from 1 to 2"):
        check_range("x", 2.01, 1, 2)


def test_sentences():
    assert actions.sentence("no face\n was found: try") == "No face was found: try."
    assert actions.sentence("Done!") == "Done!"


def test_examples_are_credited_and_small():
    credits = (FOLDER / "CREDITS.md").read_text()
    names = {path.name for path in FOLDER.glob("*.jpg")}
    assert {name for one in EXAMPLES for name in (one.source, one.donor)} == names
    for name in names:
        assert f"| {name} |" in credits
        with Image.open(FOLDER / name) as image:
            assert max(image.size) <= 512 and not image.getexif()
