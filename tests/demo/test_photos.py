"""Photos are read once, one face of several is chosen, and each is fitted once."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from PIL import Image

from facesep import provenance
from facesep.demo import photos as reading
from facesep.demo.limits import MAX_LISTED_FACES
from facesep.demo.photos import Choice
from facesep.errors import ConfigError, FaceError, ImageError, LyingPhotoError, NoFaceError


def pixels(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_a_photo_is_read_as_the_library_reads_it(sep, photos):
    subject = reading.read(sep, photos[0])
    assert torch.equal(subject.codes.vector(), sep.encode(photos[0]).vector())
    assert pixels(subject.picture).size == (sep.image_size,) * 2
    assert not provenance.verify(subject.picture).made_by_facesep  # a crop of a photo is no result


def test_several_faces_are_offered(sep, photos, group):
    choice = reading.read(sep, group)
    assert isinstance(choice, Choice) and len(choice.faces) == 2
    assert "2 faces" in choice.message() and "1: " in choice.message() and "0: " in choice.message(first=0)
    assert pixels(choice.sheet).size == (640, 320)
    chosen = [reading.choose(sep, choice, index).codes.vector() for index in range(2)]
    direct = [reading.read(sep, group, index).codes.vector() for index in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(chosen, direct, strict=True))
    assert not torch.equal(*chosen)
    for wrong in (2, -1, None, True, "0"):
        with pytest.raises(ConfigError, match="no face"):
            reading.choose(sep, choice, wrong)


def test_a_face_that_cannot_be_used_is_refused_when_it_is_chosen(sep, group):
    choice = reading.read(sep, group)
    broken = replace(choice, faces=(choice.faces[0], "the face is too small"))
    with pytest.raises(FaceError, match="too small"):
        reading.choose(sep, broken, 1)


def test_unusable_photos_are_refused(sep):
    with pytest.raises(ImageError, match="not a picture"):
        reading.read(sep, b"hello")
    white = io.BytesIO()
    Image.new("RGB", (300, 300), "white").save(white, "PNG")
    with pytest.raises(NoFaceError):
        reading.read(sep, white.getvalue())
    with pytest.raises(ConfigError, match="whole number"):
        reading.read(sep, white.getvalue(), "0")


def test_what_is_said_of_a_lying_photo_names_no_option_of_programs(sep, photos):
    lying = Image.open(photos[0]).transpose(Image.ROTATE_90)
    with pytest.raises(LyingPhotoError) as caught:
        reading.read(sep, lying)
    assert str(caught.value) == "the photo lies on its side: turn it by 90 degrees clockwise"
    assert caught.value.turn == 90


def test_the_number_of_faces_is_the_photos_own(sep, photos):
    """Of a crowd the largest are offered, and the rest are counted."""
    crowd, face = Image.new("RGB", (6 * 200, 2 * 200), "white"), Image.open(photos[0]).resize((200, 200))
    for place in range(12):
        crowd.paste(face, (200 * (place % 6), 200 * (place // 6)))
    buffer = io.BytesIO()
    crowd.save(buffer, "PNG")
    choice = reading.read(sep, buffer.getvalue())
    assert choice.count == 12 and len(choice.faces) == len(choice.places) == MAX_LISTED_FACES
    assert f"shows 12 faces, choose one of the {MAX_LISTED_FACES} largest" in choice.message()


def test_a_face_is_fitted_once(sep, photos):
    subject = reading.read(sep, photos[0])
    fitted = reading.fitted(sep, subject)
    assert reading.fitted(sep, subject) is fitted
    torch.testing.assert_close(
        fitted.codes.vector(), sep.encode(photos[0], fit=reading.FIT_STEPS).vector(), atol=1e-4, rtol=0
    )
    made = reading.Subject(subject.codes)  # has no photo that it could be compared with
    assert reading.fitted(sep, made) is made.codes
