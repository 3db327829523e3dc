"""Refinement on the command line and on the page."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_refiner import tiny_refiner

pytest.importorskip("diffusers")

from facesep.cli import main
from facesep.config import preset
from facesep.images import load_image
from facesep.model import FaceSep


@pytest.fixture(scope="module")
def sep() -> FaceSep:
    torch.manual_seed(0)
    sep = FaceSep(preset("tiny"))
    sep.refiner = tiny_refiner()
    return sep


@pytest.fixture(scope="module")
def folders(sep, tmp_path_factory):
    """A checkpoint with a refiner, one without, the refiner alone, and a face."""
    root = tmp_path_factory.mktemp("refine")
    sep.save_pretrained(root / "with")
    FaceSep(preset("tiny")).save_pretrained(root / "without")
    sep.refiner.save_pretrained(root / "refiner")
    Image.effect_noise((sep.image_size,) * 2, 80).convert("RGB").save(root / "face.png")
    return root


def render(folders, tmp_path, name, checkpoint, *options) -> int:
    face, out = folders / "face.png", tmp_path / name
    command = ["render", str(face), "--aligned", "--checkpoint", str(folders / checkpoint), "-o", str(out)]
    return main([*command, "--quiet", *options])


def test_render_refines_when_asked(folders, tmp_path):
    assert render(folders, tmp_path, "plain.png", "with") == 0
    assert render(folders, tmp_path, "refined.png", "with", "--refine") == 0
    assert render(folders, tmp_path, "other.png", "with", "--refine", "--refine-seed", "3") == 0
    assert render(folders, tmp_path, "named.png", "without", "--refiner", str(folders / "refiner")) == 0
    assert render(folders, tmp_path, "estimate.png", "with", "--refine", "--refine-steps", "0") == 0
    names = ("plain", "refined", "other", "estimate", "named")
    *distinct, named = (load_image(tmp_path / f"{name}.png").tobytes() for name in names)
    assert len(set(distinct)) == 4 and named != distinct[0]


def test_without_a_refiner_the_command_says_how_to_get_one(folders, tmp_path, capsys, hub):
    assert render(folders, tmp_path, "a.png", "without", "--refine") == 1
    message = capsys.readouterr().err
    assert "--refiner" in message and "docs/refinement.md" in message and "Traceback" not in message
    assert hub.log == [] and not (tmp_path / "a.png").exists()
    assert render(folders, tmp_path, "b.png", "with", "--refine-steps", "2") == 1
    assert "--refine-steps does nothing" in capsys.readouterr().err
    assert render(folders, tmp_path, "c.png", "with", "--refine", "--refine-steps", "-1") == 1
    assert "steps must be" in capsys.readouterr().err
    assert render(folders, tmp_path, "d.png", "with", "--refiner", str(folders / "without")) == 1
    assert "no refiner" in capsys.readouterr().err


def test_orbit_refines(folders, tmp_path):
    face, out = str(folders / "face.png"), str(tmp_path / "orbit.mp4")
    options = ["--frames", "2", "--refine", "--refine-steps", "1", "--quiet", "--aligned", "-o", out]
    assert main(["orbit", face, "--checkpoint", str(folders / "with"), *options]) == 0
    assert (tmp_path / "orbit.mp4").stat().st_size > 0


# -- the page ---------------------------------------------------------------------------------------


def test_the_switch_tells_its_cost_or_how_to_get_a_refiner(sep, hub):
    pytest.importorskip("gradio")
    from facesep.demo.switches import describe_refine, seconds

    label, info, usable = describe_refine(sep)
    assert usable and "about" in label and " s more" in label and "invented" in info
    label, info, usable = describe_refine(FaceSep(preset("tiny")))
    assert not usable and "docs/refinement.md" in info and hub.log == []
    assert [seconds(x) for x in (0.0421, 0.42, 3.14, 75.2)] == ["0.042 s", "0.42 s", "3.1 s", "75 s"]


def test_the_switch_is_off_and_the_visit_follows_it(sep, tmp_path):
    pytest.importorskip("gradio")
    from facesep.demo.page import Page
    from facesep.demo.sessions import Sessions
    from facesep.demo.switches import remember
    from facesep.demo.ui import build_page

    layout = build_page(sep, Sessions(tmp_path / "page"))
    (box,) = [b for b in layout.blocks.values() if getattr(b, "elem_id", None) == "refine"]
    assert box.value is False and box.interactive
    page = Page(sep, Sessions(tmp_path / "sessions"), tmp_path)
    codes = sep.encode(torch.rand(3, sep.image_size, sep.image_size), aligned=True)

    def visit(name: str):
        return page.visit(types.SimpleNamespace(session_hash=name))

    def picture(name: str) -> bytes:
        return load_image(visit(name).picture(codes, 5, 0)).tobytes()

    plain = picture("anna")
    remember("refine", visit("anna"), True)
    assert picture("anna") != plain and picture("ben") == plain
    remember("refine", visit("anna"), False)
    assert picture("anna") == plain
    remember("refine", visit("anna"), True)
    page.sessions.forget("anna")
    assert picture("anna") == plain


def test_the_speed_of_refining_is_measured_where_there_is_a_refiner(folders):
    from facesep.evaluation.bench import steps as speed

    photo = Path(__file__).parents[1] / "data" / "photos" / "london_101.jpg"
    steps = speed.measure(None, photo, repeats=1, frames=0, refiner=str(folders / "refiner")).steps
    assert steps[speed.REFINING].least > 0
    assert speed.REFINING not in speed.measure(str(folders / "without"), photo, repeats=1, frames=0).steps
