"""Skin out of the light code: a known law is found, and the change of basis changes no picture."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_training_scripts import run
from tiny_data import write_tiny

from facesep.attributes import TRAITS
from facesep.codes import Codes
from facesep.config import EncoderConfig, preset
from facesep.errors import ConfigError, DataError
from facesep.evaluation import reference
from facesep.model import FaceSep
from facesep.training.skin import Samples, Weights, fit_skin, with_skin, without_skin

TEXTURE, LIGHT = TRAITS["texture"].size, TRAITS["illumination"].size
NONE = torch.zeros(0, TEXTURE)


def session(weight: torch.Tensor, lamps: float, count: int, seed: int) -> Codes:
    """Codes of a studio: the same lamps for all, and light codes that see skin by a known law."""
    random = torch.Generator().manual_seed(seed)
    codes = {name: torch.zeros(count, one.size) for name, one in TRAITS.items()}
    texture = torch.randn(count, TEXTURE, generator=random)
    return Codes(**codes | {"texture": texture, "illumination": texture @ weight.mT + lamps})


def known() -> torch.Tensor:
    return torch.randn(LIGHT, TEXTURE, generator=torch.Generator().manual_seed(9)) * 0.1


def test_a_known_law_is_found():
    """Whatever the lamps of the sessions are: differences between sessions are not skin."""
    sessions = [session(known(), lamps, 300, seed) for seed, lamps in enumerate((-3.0, 5.0))]
    found = fit_skin(Samples(sessions, NONE, NONE), Weights(ridge=1e-9))
    assert torch.allclose(found, known(), atol=1e-4)


@pytest.mark.parametrize("kind", ["relit", "person"])
def test_what_follows_the_light_is_not_skin(kind):
    """A number of the texture code that another light moves is not relied on."""
    moved = torch.zeros(50, TEXTURE)
    moved[:, 0] = torch.linspace(-1, 1, 50)
    sessions = [session(known(), 0.0, 2000, 1)]
    samples = Samples(sessions, **{"relit": NONE, "person": NONE, kind: moved})
    found = fit_skin(samples, Weights(**{"ridge": 1e-9, kind: 1e6}))
    assert found[:, 0].abs().max() < 1e-4
    assert torch.allclose(found[:, 1:], known()[:, 1:], atol=0.03)  # numbers are independent here


def test_sessions_are_needed():
    with pytest.raises(DataError, match="20 photos"):
        fit_skin(Samples([session(known(), 0.0, 5, 0)], NONE, NONE))
    with pytest.raises(DataError, match="20 photos"):
        fit_skin(Samples([], NONE, NONE))


@pytest.fixture(params=[False, True])
def model(request) -> FaceSep:
    """Random weights, with and without modulated layers."""
    torch.manual_seed(0)
    tiny = preset("tiny")
    sep = FaceSep(
        dataclasses.replace(tiny, decoder=dataclasses.replace(tiny.decoder, modulated=request.param))
    )
    for weight in sep.decoder.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    return sep


def test_renders_of_photos_stay_and_skin_moves_with_texture(model):
    """In the new basis texture carries ``A t`` of the light, and illumination what is left."""
    photos = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    before = model.encode(photos, aligned=True)
    weight = known()
    moved = without_skin(model, weight)
    after = moved.encode(photos, aligned=True)
    assert torch.equal(after.texture, before.texture)
    assert torch.allclose(after.illumination, before.illumination - before.texture @ weight.mT, atol=1e-5)
    show = lambda sep, codes: sep.render(codes, output="tensor")  # noqa: E731
    assert torch.allclose(show(moved, after), show(model, before), atol=1e-5)
    one, other = before[[0]], before[[1]]
    light = one.illumination + (other.texture - one.texture) @ weight.mT
    both = one.replace(texture=other.texture, illumination=light)
    swapped = show(moved, after[[0]].swap(after[[1]], "texture"))
    assert torch.allclose(swapped, show(model, both), atol=1e-5)
    assert not torch.allclose(swapped, show(model, one.swap(other, "texture")), atol=1e-4)


def test_again_and_saved(model, tmp_path):
    """Two steps are one of their sum; a folder keeps it, and folders of before load as they did."""
    photos = torch.rand(1, 3, 32, 32)
    twice = without_skin(without_skin(model, known()), 2 * known())
    once = without_skin(model, 3 * known())
    assert torch.allclose(twice.encoder.skin, once.encoder.skin, atol=1e-6)
    once.save_pretrained(tmp_path / "new")
    model.save_pretrained(tmp_path / "old")
    found = FaceSep.from_pretrained(tmp_path / "new")
    codes = found.encode(photos, aligned=True)
    assert torch.equal(codes.vector(), once.encode(photos, aligned=True).vector())
    slow = reference.encode(found.encoder, photos)
    assert torch.allclose(slow.illumination, found.encoder(photos).illumination, atol=1e-5)
    old = FaceSep.from_pretrained(tmp_path / "old")
    assert old.encoder.skin is None and not any("skin" in key for key in old.encoder.state_dict())


def test_and_back(model):
    """Training goes on in the basis of the labels, wherever it starts from."""
    photos = torch.rand(1, 3, 32, 32)
    back = with_skin(without_skin(model, known()))
    assert back.config == model.config and with_skin(model) is model
    assert torch.equal(back.encoder(photos).illumination, model.encoder(photos).illumination)
    for name, value in model.decoder.state_dict().items():
        assert torch.allclose(back.decoder.state_dict()[name], value, atol=1e-5)


def test_light_heads_alone():
    with pytest.raises(ConfigError, match="light heads"):
        EncoderConfig(kind="paper", skin=True)


@pytest.mark.slow
def test_script(tmp_path):
    shards, _ = write_tiny(tmp_path, 24)
    torch.manual_seed(0)
    FaceSep(preset("tiny")).save_pretrained(tmp_path / "tiny")
    common = ("skin.py", tmp_path / "tiny", "--shards", shards, "--relit", 3, "--out", tmp_path / "out")
    done = run(*common, "--studio", "drawn")
    assert done.returncode == 0, done.stderr
    assert "23 drawn, 12 relit copies, 0 pairs of photos of one person" in done.stdout
    assert FaceSep.from_pretrained(tmp_path / "out").encoder.skin.abs().max() > 0
    few = run(*common, "--studio", "nowhere")
    assert few.returncode == 1 and "nowhere: 0 photos" in few.stderr
