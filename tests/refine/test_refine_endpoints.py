"""Refinement by the page's named endpoints: asked for, marked, and never fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_refiner import tiny_refiner

pytest.importorskip("diffusers")
pytest.importorskip("gradio_client")
sys.path.insert(0, str(Path(__file__).parents[1] / "demo"))  # for serving

from serving import connect, refused, serve, what_endpoints_take

from facesep.config import preset
from facesep.demo import actions
from facesep.demo.actions import Look
from facesep.demo.switches import HOW
from facesep.driving import Motion
from facesep.model import FaceSep
from facesep.provenance import REFINED_NOTICE, verify, write_video
from facesep.video import video_info

REFINABLE = ("transfer", "render", "mix", "edit", "orbit", "drive")


@pytest.fixture(scope="module")
def sep() -> FaceSep:
    torch.manual_seed(0)
    return FaceSep(preset("tiny"))


@pytest.fixture(scope="module")
def client(sep, tmp_path_factory):
    for server in serve(sep, tmp_path_factory.mktemp("gradio")):
        client = connect(server)
        yield client
        client.close()


@pytest.fixture(scope="module")
def inputs(client, tmp_path_factory) -> dict[str, dict]:
    return what_endpoints_take(client, tmp_path_factory.mktemp("video"))


@pytest.mark.slow
def test_endpoints_refine_when_asked(client, sep, inputs):
    schema = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name in REFINABLE:
        (one,) = [p for p in schema[f"/{name}"]["parameters"] if p["parameter_name"] == "refine"]
        assert one["parameter_default"] is False and one["type"] == {"type": "boolean"}
    for name in REFINABLE:  # without a refiner: a sentence, at once
        message = refused(client, consent=True, refine=True, api_name=f"/{name}", **inputs[name])
        assert HOW.split(".")[0] in message and "docs/refinement.md" in message
    assert "consent" in refused(client, refine=True, api_name="/render", **inputs["render"]).lower()
    sep.refiner = tiny_refiner()
    try:
        for name in REFINABLE:
            plain, refined = (
                Path(client.predict(consent=True, refine=wanted, api_name=f"/{name}", **inputs[name])[0])
                for wanted in (False, True)
            )
            assert plain.read_bytes() != refined.read_bytes()
            texts = [note(path) for path in (plain, refined)]
            assert [REFINED_NOTICE in text for text in texts] == [False, True], name
            assert verify(refined).made_by_facesep
    finally:
        sep.refiner = None


def note(path: Path) -> str:
    """What a result says of itself."""
    if path.suffix == ".mp4":
        return video_info(path).comment
    with Image.open(path) as image:
        return image.text["Comment"]


def test_driven_videos_are_refined_frame_by_frame(sep, tmp_path):
    motion = Motion(torch.zeros(3, 64), torch.tensor([[0.0, 0.1 * k, 0.0] for k in range(3)]), 15)
    codes = sep.encode(torch.rand(3, sep.image_size, sep.image_size), aligned=True)
    sep.refiner = tiny_refiner()
    try:
        for name, refine in (("a.mp4", True), ("b.mp4", False)):
            frames = actions.drive(sep, codes, motion, look=Look(refine=refine))
            write_video(frames, tmp_path / name, 15)
    finally:
        sep.refiner = None
    assert REFINED_NOTICE in note(tmp_path / "a.mp4") and REFINED_NOTICE not in note(tmp_path / "b.mp4")
