"""The Finish network in results: only where no photo shows the head, and only when it is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facesep import FaceSep
from facesep.cli import main
from facesep.detail import Portrait
from facesep.detail.compose import reflected
from facesep.detail.flow import lift, resize
from facesep.detail.render import picture
from facesep.detail.round_trip import draft_of
from facesep.errors import ConfigError
from facesep.nets.finish import SURE, Finish

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "london_099.jpg"
OTHER = PHOTO.with_name("london_101.jpg")
SIZE = 192


@pytest.fixture(scope="module")
def bare() -> FaceSep:
    sep = FaceSep.from_pretrained()
    sep.finish = None
    return sep


@pytest.fixture(scope="module")
def sep(bare) -> FaceSep:
    """The bundled checkpoint with a network that changes much."""
    sep = FaceSep.from_pretrained()
    torch.manual_seed(0)
    sep.finish = Finish().eval().requires_grad_(False)
    torch.nn.init.normal_(sep.finish.last.weight, std=0.1)
    return sep


@pytest.fixture(scope="module")
def face(bare) -> Portrait:
    return bare.portrait(PHOTO)


def turned(face: Portrait, yaw: float) -> Portrait:
    return face.replace(rotation=face.codes.rotation + torch.tensor([0.0, yaw, 0.0]))


def test_only_what_the_photo_does_not_show_changes(sep, face):
    moved = turned(face, 0.5)
    before, after = (
        picture(sep.decoder, sep.landmarks, moved, SIZE, finish=finish) for finish in (None, sep.finish)
    )
    sure = (before.confidence >= SURE).expand_as(before.colours)
    assert 0.2 < sure.float().mean() < 0.95
    assert torch.equal(after.colours[sure], before.colours[sure])
    assert (after.colours - before.colours)[~sure].abs().max() > 0.1
    assert torch.equal(after.alpha, before.alpha) and torch.equal(after.confidence, before.confidence)


def test_on_where_the_checkpoint_has_it(sep, bare, face):
    moved = turned(face, 0.5)
    without = bare.render(moved, size=SIZE, output="tensor")
    assert torch.equal(bare.render(moved, size=SIZE, finish=False, output="tensor"), without)
    assert torch.equal(sep.render(moved, size=SIZE, finish=False, output="tensor"), without)
    finished = sep.render(moved, size=SIZE, output="tensor")
    assert torch.equal(sep.render(moved, size=SIZE, finish=True, output="tensor"), finished)
    assert not torch.equal(finished, without)


def test_no_edit_and_plain_renders_stay(sep, bare, face):
    for options in ({}, {"detail": False}):
        found = (one.render(face, size=SIZE, output="tensor", **options) for one in (sep, bare))
        assert torch.equal(*found)
    assert sep.render(face, background="keep").tobytes() == face.frames[0].photo.tobytes()


def test_a_batch_is_its_items(sep, face):
    other = sep.portrait(OTHER)
    both = Portrait.stack([face.batch(), other.batch()])
    draft = draft_of(sep, both.replace(rotation=both.codes.rotation + 0.3), SIZE)
    each = [draft_of(sep, one.replace(rotation=one.codes.rotation + 0.3), SIZE) for one in both]
    for together, *apart in zip(draft, *each, strict=True):
        torch.testing.assert_close(together, torch.cat(apart), atol=2e-3, rtol=0)


def test_an_orbit_takes_the_switch(sep, bare, face):
    frames = [
        list(one.orbit(face, frames=2, size=64, **options))[0]
        for one, options in ((sep, {}), (sep, {"finish": False}), (bare, {}))
    ]
    assert frames[0].tobytes() != frames[1].tobytes() == frames[2].tobytes()


def test_a_checkpoint_without_it_says_so(bare, face):
    with pytest.raises(ConfigError, match="no Finish network"):
        bare.render(face, finish=True)
    with pytest.raises(ConfigError, match="no Finish network"):
        bare.orbit(face, finish=True)
    with pytest.raises(ConfigError, match="finish must be True or False"):
        bare.render(face, finish="yes")


def test_the_command_line_without_the_part(bare, tmp_path, capsys):
    bare.save_pretrained(tmp_path / "bare")
    out = tmp_path / "face.png"
    command = ["render", str(PHOTO), "--yaw", "25", "--size", "64", "-o", str(out)]
    assert main([*command, "--checkpoint", str(tmp_path / "bare"), "--finish"]) != 0
    said = capsys.readouterr().err
    assert "no Finish network" in said and "Traceback" not in said
    assert not out.exists()


def test_it_is_saved_with_the_checkpoint(sep, tmp_path):
    sep.save_pretrained(tmp_path / "sep")
    again = FaceSep.from_pretrained(tmp_path / "sep")
    for key, value in sep.finish.state_dict().items():
        assert torch.equal(again.finish.state_dict()[key], value)
    assert (tmp_path / "sep" / "finish" / "model.safetensors").is_file()


def test_the_mirrored_head_is_the_photo_reflected(sep, face):
    """A photo that is symmetric about its own middle shows the same on both sides."""
    codes = face.codes.batch()
    level = codes.replace(rotation=codes.rotation * 0, translation=codes.translation * 0)
    base = face.base
    half = {name: getattr(base, name) for name in ("colours", "matte", "depth", "opacity")}
    even = {name: (value + value.flip(-1)) / 2 for name, value in half.items()}
    source = type(base)(
        level, even["colours"], even["matte"], base.hair, base.plain, even["depth"], even["opacity"]
    )
    points = lift(resize(source.depth, 128, "bicubic"), level)
    found, known = reflected(sep.decoder, source, level, points, SIZE, recolour=False)
    seen = (known > 0.99).expand_as(found)
    assert seen.float().mean() > 0.1
    difference = (found - resize(source.colours, SIZE))[seen].abs()
    assert difference.mean() < 0.01
