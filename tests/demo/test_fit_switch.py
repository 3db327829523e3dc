"""The switch for fitting: off at first, for this visit alone, and a photo is fitted once."""

from __future__ import annotations

import types

import pytest
import torch

from facesep import FaceSep
from facesep.demo import actions
from facesep.demo.actions import FIT_STEPS, Subject
from facesep.demo.examples import EXAMPLES, FOLDER
from facesep.demo.handlers import Handlers
from facesep.demo.sessions import Sessions
from facesep.demo.switches import describe_fit, remember
from facesep.demo.ui import build_page

PHOTO = FOLDER / EXAMPLES[0].source


@pytest.fixture(scope="module")
def sep() -> FaceSep:
    return FaceSep.from_pretrained()


def test_the_switch_tells_its_cost(sep, tmp_path):
    page = build_page(sep, Sessions(tmp_path / "page"))
    (box,) = [b for b in page.blocks.values() if getattr(b, "elem_id", None) == "fit"]
    assert box.value is False and box.interactive
    label, info, usable = describe_fit(sep)
    assert usable and "about" in label and " s a photo" in label and "forward pass" in info


def test_faces_of_a_visit_are_fitted_while_it_is_on(sep, tmp_path, monkeypatch):
    sessions = Sessions(tmp_path / "sessions")
    handlers = Handlers(sep, sessions, tmp_path)
    visit, other = (types.SimpleNamespace(session_hash=name) for name in ("visit", "other"))
    for one in (visit, other):
        sessions.get(one.session_hash).kept["turn"] = actions.read_photo(sep, PHOTO)
    counted, fit = [], actions.fit
    monkeypatch.setattr(actions, "fit", lambda *a: counted.append(a[-1]) or fit(*a))

    def codes(request) -> torch.Tensor:
        return handlers.face(sessions.get(request.session_hash), "turn").codes.vector()

    plain = codes(visit)
    torch.testing.assert_close(plain, sep.encode(PHOTO).vector(), atol=0, rtol=0)
    switch = remember(sessions, "fit")
    switch(True, visit)
    fitted = codes(visit)
    torch.testing.assert_close(fitted, sep.encode(PHOTO, fit=FIT_STEPS).vector(), atol=1e-4, rtol=0)
    assert (fitted - plain).abs().max() > 0.01
    assert torch.equal(codes(visit), fitted) and counted == [FIT_STEPS]
    assert torch.equal(codes(other), plain)
    switch(False, visit)
    assert torch.equal(codes(visit), plain)
    switch(True, visit)
    sessions.forget("visit")
    assert sessions.get("visit").fit is False


def test_a_result_is_not_fitted(sep, tmp_path):
    """It has no photo that it could be compared with."""
    sessions = Sessions(tmp_path / "sessions")
    handlers = Handlers(sep, sessions, tmp_path)
    sessions.switch("visit", "fit", True)
    session = sessions.get("visit")
    session.kept["turn"] = Subject(sep.encode(PHOTO), b"")
    assert handlers.face(session, "turn") is session.kept["turn"]
