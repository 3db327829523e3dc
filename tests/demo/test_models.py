"""The choice among models that a Space offers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from facesep import FaceSep, provenance
from facesep.config import preset
from facesep.demo.models import Models, listed
from facesep.errors import ConfigError

gradio_client = pytest.importorskip("gradio_client")
from gradio_client import handle_file  # noqa: E402
from serving import Server, as_shown, connect, refused, serve  # noqa: E402


@pytest.fixture(scope="module")
def other() -> FaceSep:
    torch.manual_seed(1)
    return FaceSep(preset("tiny"))


@pytest.fixture(scope="module")
def server(sep, other, tmp_path_factory) -> Iterator[Server]:
    models = Models(sep, others=["user/other@v1"], load=lambda name: other)
    yield from serve(models, tmp_path_factory.mktemp("gradio"))


def test_models_are_loaded_once_and_only_from_the_list(sep, other):
    loaded = []
    models = Models(sep, "mine", ["a/b", "a/b", "c/d@v1"], lambda name: loaded.append(name) or other)
    assert models.names == ("mine", "a/b", "c/d@v1")
    assert models.get(None) is models.get("mine") is sep and loaded == []
    assert models.get("a/b") is other and models.get("a/b") is other and loaded == ["a/b"]
    for wrong in ("e/f", "", "../c", 3, ["a/b"]):
        with pytest.raises(ConfigError, match="not offered"):
            models.get(wrong)


def test_lists_are_read():
    assert listed(" a/b@v1, c/d\n e/f ") == ["a/b@v1", "c/d", "e/f"] and listed("") == []


def test_each_visitor_has_a_model(server, sep, other, photos):
    anna, ben = connect(server), connect(server)
    photo = handle_file(str(photos[0]))
    try:
        assert anna.predict("user/other@v1", api_name="/choose_model") == ["bundled", "user/other@v1"]
        for client, model in ((anna, other), (ben, sep)):
            result, _ = client.predict(photo, consent=True, api_name="/render")
            assert Path(result).read_bytes() == provenance.encode(as_shown(model, model.portrait(photos[0])))
        assert "not offered" in refused(ben, "user/another", api_name="/choose_model")
    finally:
        anna.close()
        ben.close()


def test_a_change_forgets_what_the_old_model_read(sep, other, tmp_path):
    from facesep.demo.page import Page
    from facesep.demo.sessions import Sessions

    page = Page(Models(sep, others=["other"], load=lambda _: other), Sessions(tmp_path), tmp_path)
    anna, ben = (page.visit(SimpleNamespace(session_hash=name)) for name in ("anna", "ben"))
    anna.kept["source"] = anna.session.photos["digest"] = 1
    anna.switch("other")
    assert anna.sep is other and not anna.kept and not anna.session.photos
    assert ben.sep is sep


def test_the_environment_lists_models(sep, tmp_path, monkeypatch):
    from facesep import demo

    folder = tmp_path / "tiny"
    sep.save_pretrained(folder)
    monkeypatch.setenv("FACESEP_CHECKPOINT", str(folder))
    monkeypatch.setenv("FACESEP_CHECKPOINTS", f"{folder}, user/repo@v2")
    page = demo.build()
    names = page.get_api_info()["named_endpoints"]
    assert "/choose_model" in names
    dropdown = next(block for block in page.blocks.values() if getattr(block, "elem_id", "") == "model")
    assert dropdown.visible and [value for _, value in dropdown.choices] == [str(folder), "user/repo@v2"]
