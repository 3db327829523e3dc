"""Frames of a webcam: read from addresses, followed from one to the next, never kept."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio")

from facesep import provenance
from facesep.demo import live
from facesep.demo import photos as reading
from facesep.demo.limits import MAX_FRAME
from facesep.demo.page import FACE, Page, Visit
from facesep.demo.sessions import Sessions
from facesep.errors import CodesError, ImageError
from facesep.images import encode_image, load_image

START = "data:image/jpeg;base64,"


@pytest.fixture
def visit(sep, photos, tmp_path) -> Visit:
    found = Page(sep, Sessions(tmp_path), tmp_path).visit(SimpleNamespace(session_hash="anna"))
    found.kept[FACE] = reading.read(sep, photos[0])
    return found


def address(photo) -> str:
    return START + base64.b64encode(encode_image(load_image(photo).resize((320, 320)), "jpeg")).decode()


@pytest.mark.parametrize(
    "text",
    [None, "", 3, "data:image/png;base64,AA", START, START + "%", START + "AAAA", START + "A" * MAX_FRAME],
)
def test_what_is_no_frame_is_refused(text):
    with pytest.raises(ImageError):
        live.frame(text)


def test_frames_move_the_face_and_are_forgotten(visit, photos, tmp_path):
    size = live.SIZES[0]
    for count in (1, 2):
        shown, said = live.step(visit, live.frame(address(photos[1])), ["expression"], False, size)
        assert shown.endswith(f"#{count}") and "frames a second" in said and "no face" not in said
    data = base64.b64decode(shown.partition(",")[2].partition("#")[0])
    assert load_image(data).size == (size, size) and provenance.verify(data).made_by_facesep
    followed = visit.kept[live.LIVE]
    assert set(vars(followed)) == {"face", "codes", "first", "count", "since", "rate"}
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    still = live.step(visit, live.frame(address(photos[1])), ["expression"], True, size)
    face = visit.face().face
    moved = face.codes.expression + followed.codes.expression - followed.first.expression
    expected = live.actions.preview(visit.sep, face.replace(expression=moved), visit.look, size)
    assert still[0] == f"{START}{base64.b64encode(expected).decode()}#3"
    with pytest.raises(CodesError, match="choose"):
        live.step(visit, live.frame(address(photos[1])), ["hair"], False, size)


def test_a_frame_without_a_face_is_said(visit):
    white = live.Image.new("RGB", (320, 240), "white")
    assert "no face" in live.step(visit, white, ["expression"], False, live.SIZES[0])[1]
