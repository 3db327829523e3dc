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
from facesep.demo import photos
from facesep.demo.examples import EXAMPLES, FOLDER
from facesep.demo.page import Page, Visit
from facesep.demo.photos import FIT_STEPS
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
    page = Page(sep, Sessions(tmp_path / "sessions"), tmp_path)
    counted, portrait = [], photos.portrait
    monkeypatch.setattr(photos, "portrait", lambda *a: counted.append(a[3:]) or portrait(*a))

    def visit(name: str) -> Visit:
        return page.visit(types.SimpleNamespace(session_hash=name))

    def codes(name: str) -> torch.Tensor:
        return visit(name).face().codes.vector()

    for name in ("anna", "ben"):
        visit(name).kept["face"] = photos.read(sep, PHOTO)
    plain = codes("anna")
    torch.testing.assert_close(plain, sep.encode(PHOTO).vector(), atol=0, rtol=0)
    remember("fit", visit("anna"), True)
    fitted = codes("anna")
    assert (fitted - plain).abs().max() > 0.01
    visit("anna").kept["donor"] = visit("anna").kept["face"]
    assert torch.equal(visit("anna").face("donor").codes.vector(), fitted)
    assert torch.equal(codes("anna"), fitted) and counted == [(), (), (FIT_STEPS,)]
    assert torch.equal(codes("ben"), plain)
    remember("fit", visit("anna"), False)
    assert torch.equal(codes("anna"), plain)
    remember("fit", visit("anna"), True)
    page.sessions.forget("anna")
    assert visit("anna").fit is False


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
    counted, portrait = [], photos.portrait
    monkeypatch.setattr(photos, "portrait", lambda *a: counted.extend(a[3:]) or portrait(*a))
    schema = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name, given in inputs.items():
        (one,) = [p for p in schema[f"/{name}"]["parameters"] if p["parameter_name"] == "fit"]
        assert one["parameter_default"] is False and one["type"] == {"type": "boolean"}
        plain, fitted = (
            client.predict(consent=True, fit=wanted, api_name=f"/{name}", **given)[0]
            for wanted in (False, True)
        )
        if isinstance(plain, str):  # a file
            plain, fitted = Path(plain).read_bytes(), Path(fitted).read_bytes()
        assert plain != fitted, name
    assert counted == [FIT_STEPS] * 2  # both photos, once in the visit


@pytest.mark.slow
def test_codes_of_the_endpoint_are_those_of_the_library(client, sep):
    path, _ = client.predict(
        handle_file(str(PHOTO)), include_identity=True, consent=True, fit=True, api_name="/encode"
    )
    expected = sep.encode(PHOTO, fit=FIT_STEPS).vector()
    torch.testing.assert_close(Codes.load(path).vector(), expected, atol=1e-4, rtol=0)
