"""Sliders: principal directions against a closed form, moves against the codes they mean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from facesep import moves as directions
from facesep.codes import CODE_SIZES, Codes
from facesep.errors import ConfigError
from facesep.model import FaceSep
from facesep.moves import GROUPS, LABELLED_BY, MOVES

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


class FollowingModel:
    """A stand-in whose picture shows as much of the expression code as it follows; its encoder reads that."""

    device = torch.device("cpu")
    extras = {"train_config": {"data": [{"name": f"{LABELLED_BY} (face model)"}]}}

    def __init__(self, follows: torch.Tensor) -> None:
        self.follows = follows  # [64, 64]: what is shown of what is asked for

    def decoder(
        self, codes: Codes, ray_size: int | None = None, levels: int | None = None
    ) -> SimpleNamespace:
        shown = 0.5 + 0.02 * codes.expression @ self.follows
        return SimpleNamespace(image=shown.repeat(1, 3).unflatten(1, (3, 8, 8)))

    def encoder(self, image: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(expression=(image[:, 0].flatten(1) - 0.5) / 0.02)


def test_moves_are_offered_where_the_model_follows_them():
    follows = 0.3 * torch.eye(64)
    follows[[14, 15]] *= 0.1  # hardly closes the eyes
    follows[[4, 5, 6, 7]] *= -1  # lowers eyebrows that it should raise
    follows[43, 43], follows[43, 49] = 0.2, 0.6  # smiles rather than puckers the lips
    model, people = FollowingModel(follows), faces()
    named = ["Open the mouth", "Smile", "Corners of the mouth down", "Lower the eyebrows"]
    around = people[0]
    moves = [directions.Direction("expression", name, vector, vector) for name, vector in vectors().items()]
    seen = directions.responses(model, around, moves)
    expected = [0.3, 0.3, 0.3, 0.2, -0.3, 0.3, 0.03]
    assert seen.diagonal().tolist() == pytest.approx(expected, abs=1e-3)
    assert float(seen[3, 1]) == pytest.approx(0.3, abs=1e-3)  # of a smile, which has two places

    found = [one for one in directions.directions(model, people) if one.attribute == "expression"]
    assert [one.name for one in found if one.name in MOVES] == named
    assert len(found) == GROUPS["expression"]
    for principal in found[len(named) :]:
        for move in found[: len(named)]:
            assert abs(float(torch.cosine_similarity(principal.vector, move.vector, dim=0))) < 1e-4

    smile = found[1]
    moved = directions.move(people[0], {smile: 1.5})
    change = moved.expression - people[0].expression
    assert torch.nonzero(change).flatten().tolist() == [49, 50]
    assert torch.allclose(change[[49, 50]], torch.tensor(1.5))


def vectors() -> dict[str, torch.Tensor]:
    found = {}
    for name, places in MOVES.items():
        found[name] = torch.zeros(64)
        found[name][list(places)] = 1.0
    return found


def test_without_labels_no_move_has_such_a_name(sep):
    plain = directions.directions(sep, faces())
    assert [(one.attribute) for one in plain] == [name for name, _ in directions.PLACES]
    assert {one.name for one in plain}.isdisjoint(MOVES)


@pytest.mark.slow
def test_the_bundled_checkpoint_smiles_and_opens_its_mouth(photos):
    """And nothing is offered that it does not follow."""
    bundled = FaceSep.from_pretrained()
    people = [bundled.encode(photo) for photo in photos]
    found = {one.name: one for one in directions.directions(bundled, people) if one.name in MOVES}
    assert list(found) == [
        "Open the mouth",
        "Smile",
        "Raise the eyebrows",
        "Lower the eyebrows",
        "Close the eyes",
    ]
    for name, one in found.items():
        shown = []
        for face in people:
            little, much = (
                bundled.encode(bundled.render(directions.move(face, {one: amount})), aligned=True)
                for amount in (-2, 2)
            )
            shown.append(one.value(much) - one.value(little))
        # Every face follows, and on average as far as is asked of a move that is offered.
        assert min(shown) > 0.1 and sum(shown) / len(shown) > 4 * directions.FOLLOWS, (name, shown)


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
    assert directions.named_moves(found, {found[0].name.upper(): 1}) == {found[0]: 1}
    for wrong in ({"Nose": 1}, {}, None, ["Smile"], {3: 1}):
        with pytest.raises(ConfigError):
            directions.named_moves(found, wrong)
    for amount in (7, float("nan"), "1", None):
        with pytest.raises(ConfigError, match="must be a number"):
            directions.move(faces()[0], {found[0]: amount})
    with pytest.raises(ConfigError, match="two faces"):
        directions.directions(sep, faces(1))


def test_a_face_is_edited_by_names(sep, photos):
    """Codes give codes, photos portraits; a batch moves like its items."""
    named = sep.moves()
    assert sep.moves() is named and len(named) == len(directions.PLACES)
    one, other = (next(each for each in named if each.attribute == kind) for kind in ("shape", "texture"))
    wanted = {one.name: 1.0, other.name.lower(): -0.5}
    codes = sep.encode(photos[:2])
    edited = sep.edit(codes, wanted)
    for index in range(2):
        expected = directions.move(codes[index], {one: 1.0, other: -0.5})
        torch.testing.assert_close(edited[index].vector(), expected.vector())
    portrait = sep.edit(photos[0], wanted)
    torch.testing.assert_close(portrait.codes.vector(), edited[0].vector(), atol=1e-4, rtol=0)
    with pytest.raises(ConfigError, match="choose from"):
        sep.edit(codes, {"nose": 1})
