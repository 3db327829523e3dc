"""Sliders: principal directions against a closed form, moves against the codes they mean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from facesep.codes import CODE_SIZES, Codes
from facesep.demo import actions, directions
from facesep.demo.directions import GROUPS, LABELLED_BY, MOVES
from facesep.errors import ConfigError

SIDE = 16


def faces(count: int = 4, seed: int = 0) -> list[Codes]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Codes(**{name: torch.randn(size, generator=generator) for name, size in CODE_SIZES.items()})
        for _ in range(count)
    ]


class LinearModel:
    """A stand-in whose picture is a linear function of the hair code and nothing else."""

    device = torch.device("cpu")
    extras: dict = {}

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        left, _ = torch.linalg.qr(torch.randn(3 * SIDE * SIDE, 16, generator=generator))
        right, _ = torch.linalg.qr(torch.randn(16, 16, generator=generator))
        self.right = right
        self.matrix = left @ torch.diag(0.5 ** torch.arange(16.0)) @ right.T

    def decoder(self, codes: Codes, ray_size: int, levels: int) -> SimpleNamespace:
        picture = 0.5 + 0.01 * codes.hair @ self.matrix.T
        return SimpleNamespace(image=picture.unflatten(1, (3, SIDE, SIDE)))


def test_principal_directions_are_the_singular_vectors_of_the_picture():
    model, people = LinearModel(), faces()
    found = [one for one in directions.directions(model, people) if one.attribute == "hair"]
    spread = torch.stack([one.hair for one in people]).std(0).square().mean().sqrt()
    for index, one in enumerate(found):
        cosine = torch.cosine_similarity(one.vector, model.right[:, index], dim=0)
        assert abs(float(cosine)) == pytest.approx(1, abs=1e-3)
        assert float(one.vector.norm()) == pytest.approx(float(spread), rel=1e-4)
    others = [one for one in directions.directions(model, people) if one.attribute == "texture"]
    assert all("changes nothing" in one.name for one in others)


def test_names_say_where_and_how_the_picture_changes():
    picture = torch.zeros(3, SIDE, SIDE)
    top, lit, red = picture.clone(), picture.clone(), picture.clone()
    top[:, :3] = torch.tensor([1.0, -1.0]).repeat(SIDE // 2)  # stripes
    lit[:, :, :8], lit[:, :, 8:] = -1.0, 1.0
    red[0, 12:] = 1.0
    assert directions._words(top) == "form, most in the upper part"
    assert directions._words(lit) == "one side brighter, the other darker"
    assert directions._words(red) == "colour, most in the lower part"
    assert directions._words(picture + 1) == "brighter, most in the middle"


def test_moves_have_names_where_the_codes_have_that_meaning(sep):
    people = faces()
    plain = directions.directions(sep, people)
    assert [one.attribute for one in plain] == [name for name, count in GROUPS.items() for _ in range(count)]
    labelled = SimpleNamespace(
        decoder=sep.decoder,
        device=sep.device,
        extras={"train_config": {"data": [{"name": f"{LABELLED_BY} (face model)"}]}},
    )
    found = directions.directions(labelled, people)
    assert [one.name for one in found[: len(MOVES)]] == list(MOVES)
    assert {one.name for one in plain}.isdisjoint(MOVES)
    smile = next(one for one in found if one.name == "Smile")
    moved = directions.move(people[0], {smile: 1.5})
    change = moved.expression - people[0].expression
    assert torch.nonzero(change).flatten().tolist() == [49, 50]
    assert torch.allclose(change[[49, 50]], torch.tensor(1.5))


def test_sliders_start_at_the_face_and_follow_it(sep):
    people = faces()
    for one in directions.directions(sep, people):
        start = one.value(people[0])
        assert directions.move(people[0], {one: 0.0}) is people[0]
        moved = directions.move(people[0], {one: 0.25})
        if one.attribute != "shape" and abs(start) < 2.5:  # shape is brought back to its length
            assert one.value(moved) == pytest.approx(start + 0.25, abs=1e-4)
        for name, code in moved.items():
            assert torch.equal(code, getattr(people[0], name)) == (name != one.attribute)
        assert float(moved.shape.norm()) == pytest.approx(float(people[0].shape.norm()), rel=1e-5)


def test_moves_are_looked_up_by_name(sep):
    found = directions.directions(sep, faces())
    assert directions.named_moves(found, {found[0].name: 1}) == {found[0]: 1}
    for wrong in ({"Nose": 1}, {}, None, ["Smile"], {3: 1}):
        with pytest.raises(ConfigError):
            directions.named_moves(found, wrong)
    for amount in (7, float("nan"), "1", None):
        with pytest.raises(ConfigError, match="must be a number"):
            actions.edit(sep, faces()[0], {found[0]: amount})
    with pytest.raises(ConfigError, match="two faces"):
        directions.directions(sep, faces(1))
