"""Codes: containers, edits along the right paths, files, and refusals."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch
from safetensors.torch import load_file, save_file

from facesep.attributes import TRAITS, of_branch
from facesep.camera import rotation_matrix
from facesep.codes import ATTRIBUTES, CODE_LENGTH, CODE_SIZES, Attribute, Codes, parse_attributes
from facesep.errors import CodesError

LINEAR = ("expression", "texture", "illumination", "hair", "translation")


def codes(seed: int = 0, batch: int | None = None) -> Codes:
    generator = torch.Generator().manual_seed(seed)
    lead = () if batch is None else (batch,)
    values = {name: torch.randn(*lead, size, generator=generator) for name, size in CODE_SIZES.items()}
    shape = values["shape"]
    values["shape"] = shape / shape.norm(dim=-1, keepdim=True) * math.sqrt(512)
    values["rotation"] = values["rotation"] * 0.3
    return Codes(**values)


def equal(a: Codes, b: Codes, tolerance: float = 0.0) -> bool:
    return all(
        x.shape == y.shape and torch.allclose(x, y, rtol=0, atol=tolerance)
        for (_, x), (_, y) in zip(a.items(), b.items(), strict=True)
    )


# -- names ------------------------------------------------------------------------------------------


def test_the_registry_names_what_codes_hold():
    names = [field.name for field in fields(Codes)]
    assert list(TRAITS) == list(ATTRIBUTES) == names == [str(one) for one in Attribute]
    assert of_branch("density") == ("shape", "expression", "hair")
    assert of_branch("colour") == ("texture", "illumination")
    assert of_branch("camera") == ("rotation", "translation")


def test_sizes_are_those_of_the_paper():
    assert CODE_SIZES == {
        "shape": 512,
        "expression": 64,
        "texture": 80,
        "illumination": 27,
        "hair": 16,
        "rotation": 3,
        "translation": 3,
    }
    assert CODE_LENGTH == 705 and tuple(a.value for a in Attribute) == ATTRIBUTES


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("hair", ["hair"]),
        ("hair, shape", ["shape", "hair"]),
        (Attribute.HAIR, ["hair"]),
        (["HAIR", Attribute.SHAPE, "hair"], ["shape", "hair"]),
        (iter(["texture"]), ["texture"]),
        (ATTRIBUTES, list(ATTRIBUTES)),
    ],
)
def test_names_are_read(given, expected):
    assert parse_attributes(given) == expected


@pytest.mark.parametrize("given", [[], "", "beard", "hair,", ["hair", "x"], [1], None, 7])
def test_wrong_names(given):
    with pytest.raises(CodesError, match="choose from shape, expression"):
        parse_attributes(given)


# -- containers -------------------------------------------------------------------------------------


def test_vector_round_trip():
    for batch in (None, 1, 4):
        one = codes(batch=batch)
        vector = one.vector()
        assert vector.shape == ((705,) if batch is None else (batch, 705))
        assert equal(Codes.from_vector(vector), one)
    assert torch.equal(vector[..., :512], one.shape) and torch.equal(vector[..., -3:], one.translation)
    with pytest.raises(CodesError, match="705"):
        Codes.from_vector(torch.zeros(704))


def test_batches():
    single, batch = codes(1), codes(2, 3)
    assert not single.batched and batch.batched and len(batch) == 3
    assert equal(single.batch()[0], single) and single.batch().shape.shape == (1, 512)
    assert [equal(one, batch[i]) for i, one in enumerate(batch)] == [True] * 3
    assert equal(batch[1:], Codes.stack([batch[1], batch[2]]))
    assert equal(batch[torch.tensor([2, 0])], Codes.stack([batch[2], batch[0]]))
    assert len(Codes.stack([single, batch])) == 4
    with pytest.raises(CodesError, match="batch"):
        len(single)
    with pytest.raises(CodesError, match="batch"):
        single[0]
    with pytest.raises(CodesError, match="nothing to stack"):
        Codes.stack([])


def test_wrong_tensors():
    good = dict(codes().items())
    for name, value in (
        ("hair", torch.zeros(17)),
        ("hair", torch.zeros(1, 1, 16)),
        ("hair", torch.zeros(2, 16)),
        ("hair", [0.0] * 16),
        ("shape", torch.tensor(1.0)),
    ):
        with pytest.raises(CodesError):
            Codes(**(good | {name: value}))


def test_moving_and_detaching():
    one = codes().replace(hair=torch.zeros(16, requires_grad=True))
    assert one.to(torch.float64).vector().dtype == torch.float64
    assert one.vector().requires_grad and not one.detach().vector().requires_grad


def test_replace():
    one = codes().replace(hair=torch.ones(16))
    assert torch.equal(one.hair, torch.ones(16)) and torch.equal(one.shape, codes().shape)
    with pytest.raises(CodesError):
        codes().replace(beard=torch.ones(16))
    with pytest.raises(CodesError):
        codes().replace(hair=torch.ones(15))


# -- editing ----------------------------------------------------------------------------------------


def test_swap_moves_only_what_is_named():
    a, b = codes(1), codes(2)
    swapped = a.swap(b, ["hair", "texture"])
    for name in ATTRIBUTES:
        source = b if name in ("hair", "texture") else a
        assert torch.equal(getattr(swapped, name), getattr(source, name))
    assert equal(a, codes(1)) and equal(b, codes(2))


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 1.5])
def test_linear_codes_are_blended_linearly(strength):
    a, b = codes(1), codes(2)
    blended = a.swap(b, ATTRIBUTES, strength)
    for name in LINEAR:
        expected = (1 - strength) * getattr(a, name) + strength * getattr(b, name)
        assert torch.allclose(getattr(blended, name), expected, atol=1e-5)


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.5])
def test_shape_stays_on_its_sphere(strength):
    a, b = codes(1, 5), codes(2, 5)
    blended = a.swap(b, "shape", strength).shape
    assert torch.allclose(blended.norm(dim=-1), torch.full((5,), math.sqrt(512)), rtol=1e-5)
    for i in range(5):  # in the plane of the two, on the donor's side
        basis = torch.linalg.qr(torch.stack((a.shape[i], b.shape[i]), 1))[0]
        assert torch.allclose(basis @ (basis.T @ blended[i]), blended[i], atol=1e-3)


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.5])
def test_rotation_takes_the_shortest_turn(strength):
    a, b = codes(1), codes(2)
    start, end = rotation_matrix(a.rotation.double()), rotation_matrix(b.rotation.double())
    turn = start.T @ end
    found = start.T @ rotation_matrix(a.swap(b, "rotation", strength).rotation.double())

    def angle(matrix):
        return math.acos((float(matrix.trace()) - 1) / 2)

    assert angle(found) == pytest.approx(strength * angle(turn), rel=1e-3)
    assert torch.allclose(found @ turn, turn @ found, atol=1e-5)  # about the same axis


def test_equal_rotations_stay_finite():
    a = codes(1).replace(rotation=torch.zeros(3, requires_grad=True))
    blended = a.swap(a.detach(), "rotation", 0.5).rotation
    assert torch.allclose(blended, torch.zeros(3), atol=1e-6)
    blended.sum().backward()
    assert torch.isfinite(a.rotation.grad).all()


def test_strength_out_of_range():
    for strength in (-0.1, 1.6, float("nan")):
        with pytest.raises(CodesError, match="strength"):
            codes().swap(codes(1), "hair", strength)
    for amount in (-0.1, 1.1, float("nan")):
        with pytest.raises(CodesError, match="amount"):
            codes().interpolate(codes(1), amount)


def test_a_mapping_is_a_strength_for_each():
    a, b = codes(1), codes(2)
    given = {"hair": 0.5, Attribute.TEXTURE: 1, "SHAPE": 1.2}
    expected = a.swap(b, "hair", 0.5).swap(b, "texture").swap(b, "shape", 1.2)
    assert equal(a.swap(b, given), expected)
    with pytest.raises(CodesError, match="strengths of their own"):
        a.swap(b, given, 0.5)
    for wrong in ({"hair": 2}, {"hair": "much"}, {"hair": None}, {"beard": 1}, {}, {"hair": 1, "HAIR": 0.2}):
        with pytest.raises(CodesError):
            a.swap(b, wrong)


def test_mix_takes_each_from_its_donor():
    base, ben, cara = codes(1), codes(2), codes(3)
    mixed = base.mix(hair=ben, illumination=cara)
    assert equal(mixed, base.replace(hair=ben.hair, illumination=cara.illumination))
    assert equal(base.mix(), base)
    with pytest.raises(CodesError, match="beard"):
        base.mix(beard=ben)


def test_interpolation_ends_at_both_faces():
    a, b = codes(1), codes(2)
    assert equal(a.interpolate(b, 0.0), a) and equal(a.interpolate(b, 1.0), b)
    assert equal(a.interpolate(b, 0.3), b.interpolate(a, 0.7), tolerance=1e-4)


def test_one_face_and_a_batch():
    one, many = codes(1), codes(2, 3)
    swapped = one.swap(many, "hair")
    assert len(swapped) == 3 and torch.equal(swapped.hair, many.hair)
    assert torch.equal(swapped.shape, one.shape.expand(3, -1))
    swapped = many.swap(one, "hair", 0.5)
    assert torch.allclose(swapped.hair, (many.hair + one.hair) / 2)
    assert len(codes(1, 1).swap(many, "hair")) == 3
    with pytest.raises(CodesError, match="3 and 2"):
        many.swap(codes(3, 2), "hair")


# -- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 2])
def test_files_round_trip(tmp_path, batch):
    one = codes(4, batch)
    one.save(tmp_path / "a.safetensors", include_identity=True)
    assert equal(Codes.load(tmp_path / "a.safetensors"), one)


def test_identity_is_not_written_by_accident(tmp_path):
    with pytest.raises(CodesError, match="include_identity=True"):
        codes().save(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["no", "False", 1, None, [True]])
def test_only_true_is_yes(tmp_path, given):
    with pytest.raises(CodesError, match="include_identity=True"):
        codes().save(tmp_path / "a.safetensors", include_identity=given)


@pytest.mark.parametrize("name", ["x.png", "x", "x.safetensors.png", ""])
def test_codes_are_not_written_under_another_suffix(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CodesError, match="written as .safetensors|must be a path"):
        codes().save(name, include_identity=True)
    assert not list(tmp_path.iterdir())


def test_a_changed_bit_is_found(tmp_path):
    path = tmp_path / "a.safetensors"
    codes(4, 2).save(path, include_identity=True)
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CodesError, match="checksum"):
            Codes.load(path)


def test_numbers_that_identify_are_not_printed():
    for one in (codes(), codes(0, 2)):
        assert len(repr(one)) < 60 and f"{float(one.shape.flatten()[0]):.3f}" not in repr(one)


def test_wrong_files(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(CodesError, match="cannot read"):
        Codes.load(path)
    path.write_bytes(b"not a file of tensors")
    with pytest.raises(CodesError, match="cannot read"):
        Codes.load(path)
    save_file({"hair": torch.zeros(16)}, path)
    with pytest.raises(CodesError, match=r"not written by Codes\.save"):
        Codes.load(path)
    codes().save(path, include_identity=True)
    tensors, marker = load_file(path), {"format": "facesep-codes-1"}
    save_file({k: v for k, v in tensors.items() if k != "hair"}, path, metadata=marker)
    with pytest.raises(CodesError, match="expected"):
        Codes.load(path)
    for wrong in (torch.zeros(17), torch.full((16,), float("nan")), torch.zeros(16, dtype=torch.int64)):
        save_file(tensors | {"hair": wrong}, path, metadata=marker)
        with pytest.raises(CodesError, match="hair"):
            Codes.load(path)
    with pytest.raises(CodesError, match="cannot write"):
        codes().save(tmp_path / "missing" / "a.safetensors", include_identity=True)
