"""What the page does with faces, without a page."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from facesep import provenance
from facesep.codes import ATTRIBUTES
from facesep.demo import actions
from facesep.demo.examples import EXAMPLES, FOLDER
from facesep.demo.limits import MAX_FRAMES, MAX_PITCH, MAX_YAW, check_consent, check_range
from facesep.demo.page import FACE, SMALL, Page
from facesep.demo.photos import Subject, read
from facesep.demo.sessions import Sessions
from facesep.demo.widgets import PhotoBox
from facesep.errors import CodesError, ConfigError


@pytest.fixture(scope="module")
def subjects(sep, photos) -> list[Subject]:
    return [read(sep, path) for path in photos]


def pixels(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_transfer_is_that_of_the_library(sep, subjects):
    base, donor = subjects[0].codes, subjects[1].codes
    codes = actions.transfer(base, donor, ["hair"], 0.5)
    assert torch.equal(codes.vector(), base.swap(donor, ["hair"], 0.5).vector())
    for attributes, strength in ((["nose"], 1.0), ([], 1.0)):
        with pytest.raises(CodesError):
            actions.transfer(base, donor, attributes, strength)
    for strength in (-0.1, 1.6, math.nan, "1", None, True):
        with pytest.raises(ConfigError, match="strength"):
            actions.transfer(base, donor, ["hair"], strength)


def test_mix_takes_each_attribute_from_its_donor(sep, subjects):
    base, ben, cara = (subject.codes for subject in subjects[:3])
    codes = actions.mix(base, [("hair", ben), ("illumination", cara)])
    for name, code in codes.items():
        owner = {"hair": ben, "illumination": cara}.get(name, base)
        assert torch.equal(code, getattr(owner, name))
    for wrong in ([], [("hair", ben)] * 2, [("nose", ben)], [(name, ben) for name in ATTRIBUTES[:5]]):
        with pytest.raises(CodesError):
            actions.mix(base, wrong)


def test_the_difference_is_dark_where_renders_differ(sep, subjects):
    one, other = subjects[0].codes, subjects[1].codes
    assert np.asarray(pixels(actions.difference(sep, one, one))).min() == 255
    found = np.asarray(pixels(actions.difference(sep, one, other)), float)
    a, b = (np.asarray(sep.render(codes), float) for codes in (one, other))
    expected = 255 - np.clip(3 * np.abs(a - b).mean(-1), 0, 255)
    assert np.abs(found - expected[..., None]).max() <= 4  # renders are rounded to 8 bits


def test_pictures_are_marked_renders(sep, subjects):
    codes = subjects[0].codes
    assert actions.picture(sep, codes) == provenance.encode(sep.render(codes))
    assert provenance.verify(actions.picture(sep, codes)).made_by_facesep
    assert actions.picture(sep, codes, 30, -10) == provenance.encode(sep.render(codes, yaw=30, pitch=-10))
    for yaw, pitch in ((MAX_YAW + 1, 0), (0, -MAX_PITCH - 1), (math.nan, 0), ("5", 0)):
        with pytest.raises(ConfigError, match="yaw|pitch"):
            actions.picture(sep, codes, yaw, pitch)


def test_orbit_is_that_of_the_library(sep, subjects):
    codes = subjects[0].codes
    made = list(actions.orbit(sep, codes, yaw=20, pitch=5, frames=3))
    expected = list(sep.orbit(codes, yaw=20, pitch=5, frames=3))
    assert [np.array_equal(a, b) for a, b in zip(made, expected, strict=True)] == [True] * 3
    for wrong in ({"frames": MAX_FRAMES + 1}, {"frames": 2.5}, {"yaw": 90}, {"pitch": "8"}):
        with pytest.raises(ConfigError):
            actions.orbit(sep, codes, **wrong)


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


def test_examples_are_credited_and_small():
    credits = (FOLDER / "CREDITS.md").read_text()
    names = {path.name for path in FOLDER.glob("*.jpg")}
    assert {name for one in EXAMPLES for name in (one.source, one.donor)} == names
    for name in names:
        assert f"| {name} |" in credits
        with Image.open(FOLDER / name) as image:
            assert max(image.size) <= 512 and not image.getexif()


def test_a_large_photo_is_made_small_once(sep, photos, monkeypatch):
    """For its own results and for what stands beside them; another photo takes its place."""
    large = [Image.open(path).convert("RGB").resize((1800, 1800)) for path in photos[:2]]
    resized, resize = [], Image.Image.resize

    def counted(image, *arguments, **options):
        resized.append(image)
        return resize(image, *arguments, **options)

    one, other = (sep.portrait(photo) for photo in large)
    look = actions.Look(background="keep")
    first = look.placed(one)
    assert max(first.frames[0].photo.size) == actions.IN_PHOTO * look.size
    monkeypatch.setattr(Image.Image, "resize", counted)
    edited = one.replace(expression=other.codes.expression)
    assert look.placed(edited).frames[0].photo is first.frames[0].photo and not resized
    assert look.on("keep").placed(one).frames[0].photo is first.frames[0].photo and not resized
    assert look.placed(other).frames[0].photo is not first.frames[0].photo
    assert len(look.small) == 1 and look.small[look.size][0] is other.frames[0].photo


def test_a_photo_that_was_made_small_goes_with_its_face(sep, photos, tmp_path):
    visit = Page(sep, Sessions(tmp_path), tmp_path).visit(SimpleNamespace(session_hash="anna"))
    visit.kept[FACE] = read(sep, photos[0])
    visit.look.small[512] = (Image.open(photos[0]), Image.open(photos[0]).resize((64, 64)))
    assert visit.kept[SMALL]
    PhotoBox.clear(SimpleNamespace(place=FACE), visit)
    assert FACE not in visit.kept and SMALL not in visit.kept
