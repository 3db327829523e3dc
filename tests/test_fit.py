"""Gradient steps after the forward pass: they approach the photo, and touch nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facesep import Codes, FaceSep
from facesep.config import preset
from facesep.errors import ConfigError
from facesep.fitting import descend, fit
from facesep.images import to_tensor

PHOTOS = sorted((Path(__file__).parent / "data" / "photos").glob("*.jpg"))


@pytest.fixture(scope="module")
def sep() -> FaceSep:
    return FaceSep.from_pretrained()


@pytest.fixture(scope="module")
def crops(sep) -> Tensor:
    return torch.stack([to_tensor(sep.align(photo).image) for photo in PHOTOS])


def test_each_step_of_descent_is_adams(sep, crops):
    """On a linear loss Adam moves each number by its rate; the shape code is put back on its sphere."""
    start = sep.encode(crops, aligned=True)
    moved = descend(start, lambda codes: codes.hair.sum() + codes.rotation.sum(), 3, 0.1, 0.5)
    torch.testing.assert_close(moved.hair, start.hair - 0.3, atol=1e-5, rtol=0)
    torch.testing.assert_close(moved.rotation, start.rotation - 0.15, atol=1e-5, rtol=0)
    torch.testing.assert_close(moved.texture, start.texture, atol=0, rtol=0)
    torch.testing.assert_close(moved.shape.norm(dim=-1), torch.full((len(crops),), 512**0.5))


def test_real_photos_are_approached(sep, crops):
    codes = sep.encode(crops, aligned=True)
    weights = [p.clone() for p in sep.decoder.parameters()]
    before, after = (
        sep.decoder(c).image for c in (codes, fit(sep.decoder, codes, crops, 20, sep.encoder.skin))
    )
    side = sep.image_size  # the middle of the face is head in all of them
    face = (slice(None), slice(None), slice(side * 2 // 5, side * 7 // 10), slice(side // 3, side * 2 // 3))
    for k in range(len(crops)):
        error = [float((image[k : k + 1] - crops[k : k + 1])[face].abs().mean()) for image in (before, after)]
        assert error[1] < 0.92 * error[0], PHOTOS[k].name
    assert all(torch.equal(a, b) for a, b in zip(weights, sep.decoder.parameters(), strict=True))
    assert not any(p.requires_grad for p in sep.decoder.parameters())


def test_known_codes_are_approached(sep, crops):
    codes = sep.encode(crops, aligned=True)
    wanted = codes.replace(illumination=codes.illumination.roll(1, 0), texture=codes.texture.roll(1, 0))
    with torch.no_grad():
        photos = sep.decoder(wanted).image
    found = fit(sep.decoder, codes, photos, 30)
    with torch.no_grad():
        errors = [float((sep.decoder(c).image - photos).abs().mean()) for c in (codes, found)]
    assert errors[1] < 0.5 * errors[0]


def test_what_is_behind_the_head_does_not_count(sep, crops):
    codes = sep.encode(crops, aligned=True)
    with torch.no_grad():
        opacity = sep.decoder(codes).opacity
    far = torch.nn.functional.max_pool2d(opacity, 5, 1, 2) < 0.05
    far = torch.nn.functional.interpolate(far.float(), size=(sep.image_size,) * 2)
    assert 0.1 < far.mean() < 0.9
    other = crops * (1 - far) + torch.rand_like(crops) * far
    a, b = (fit(sep.decoder, codes, photos, 3) for photos in (crops, other))
    torch.testing.assert_close(a.vector(), b.vector(), atol=0, rtol=0)


def test_faces_do_not_move_each_other(sep, crops):
    codes = sep.encode(crops, aligned=True)
    together = fit(sep.decoder, codes, crops, 3)
    alone = [fit(sep.decoder, codes[k : k + 1], crops[k : k + 1], 3) for k in range(len(crops))]
    assert torch.equal(together.vector(), torch.cat([one.vector() for one in alone]))
    assert (together.vector() != codes.vector()).any(1).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_other_number_formats_and_decoders(crops, dtype):
    config = preset("tiny")
    model = FaceSep(replace(config, decoder=replace(config.decoder, hair=False))).to(dtype=dtype)
    codes = model.encode(crops, aligned=True, fit=2)
    assert codes.vector().isfinite().all() and codes.texture.dtype == torch.float32


def test_encoding_fits_when_asked(sep):
    photo = PHOTOS[0]
    crop = sep.align(photo).image
    zero = sep.encode(photo)
    torch.testing.assert_close(sep.encode(photo, fit=0).vector(), zero.vector(), atol=0, rtol=0)
    wanted = fit(sep.decoder, zero.batch(), to_tensor(crop)[None], 2, sep.encoder.skin)[0]
    assert not torch.equal(wanted.vector(), zero.vector())
    for found in (sep.encode(photo, fit=2), sep.encode(crop, aligned=True, fit=2)):
        assert isinstance(found, Codes) and not found.batched and not found.texture.requires_grad
        torch.testing.assert_close(found.vector(), wanted.vector(), atol=0, rtol=0)
    with torch.inference_mode():
        inside = sep.encode(photo, fit=2)
    torch.testing.assert_close(inside.vector(), wanted.vector(), atol=0, rtol=0)


@pytest.mark.parametrize("steps", [-1, 1001, 2.0, True, "20", None])
def test_numbers_of_steps_that_make_no_sense(sep, steps):
    with pytest.raises(ConfigError, match="whole number from 0 to 1000"):
        sep.encode("a photo that is not there.jpg", fit=steps)
