"""Fitting on the page, off at first, for this visit alone and a photo once; and at the endpoints."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from gradio_client import Client, handle_file
from serving import connect, serve, what_endpoints_take

from facesep import Codes, FaceSep
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
    session = sessions.get("visit")
    session.kept["source"] = session.kept["turn"]
    assert torch.equal(handlers.face(session, "source").codes.vector(), fitted)
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


@pytest.fixture(scope="module")
def client(sep, tmp_path_factory) -> Iterator[Client]:
    for server in serve(sep, tmp_path_factory.mktemp("gradio")):
        client = connect(server)
        yield client
        client.close()


@pytest.fixture(scope="module")
def inputs(client, tmp_path_factory) -> dict[str, dict]:
    found = what_endpoints_take(client, tmp_path_factory.mktemp("video"))
    photo = found["render"]["photo"]
    return found | {"sliders": {"photo": photo}, "encode": {"photo": photo, "include_identity": True}}


@pytest.mark.slow
def test_endpoints_fit_when_asked(client, inputs, monkeypatch):
    counted, fit = [], actions.fit
    monkeypatch.setattr(actions, "fit", lambda *a: counted.append(a[-1]) or fit(*a))
    schema = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name, given in inputs.items():
        (one,) = [p for p in schema[f"/{name}"]["parameters"] if p["parameter_name"] == "fit"]
        assert one["parameter_default"] is False and one["type"] == {"type": "boolean"}
        plain, fitted = (
            client.predict(consent=True, fit=wanted, api_name=f"/{name}", **given) for wanted in (False, True)
        )
        if isinstance(plain, str):  # a file
            plain, fitted = Path(plain).read_bytes(), Path(fitted).read_bytes()
        assert plain != fitted, name
    assert counted == [FIT_STEPS] * 2  # both photos, once in the visit


@pytest.mark.slow
def test_codes_of_the_endpoint_are_those_of_the_library(client, sep):
    path = client.predict(
        handle_file(str(PHOTO)), include_identity=True, consent=True, fit=True, api_name="/encode"
    )
    expected = sep.encode(PHOTO, fit=FIT_STEPS).vector()
    torch.testing.assert_close(Codes.load(path).vector(), expected, atol=1e-4, rtol=0)
