"""Sliders: principal directions against a closed form, moves against the codes they mean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from facesep import moves as directions
from facesep.analysis.moves import WANTED, Response, Wanted, as_json, ridge, solve, table
from facesep.analysis.properties import PROPERTIES, measure
from facesep.checkpoint import add_json, write_checkpoint
from facesep.codes import CODE_SIZES, Codes
from facesep.errors import CheckpointError, ConfigError
from facesep.images import to_tensor
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
def test_the_bundled_checkpoint_moves_what_its_names_say(photos):
    """Without moves of its own it offers what it follows; with them, people of no training follow."""
    bundled = FaceSep.from_pretrained()
    people = [bundled.encode(photo) for photo in photos]
    plain = FaceSep.from_pretrained()
    del plain.extras["moves"]
    names = [one.name for one in directions.directions(plain, people) if one.name in MOVES]
    assert names == ["Open the mouth", "Smile", "Raise the eyebrows", "Lower the eyebrows", "Close the eyes"]
    portraits = [bundled.portrait(photo, keep=False) for photo in photos]
    wanted = {one.name: one for one in WANTED}
    named = [one for one in bundled.moves() if one.name in wanted]
    assert len(named) >= 8
    for one in named:
        shown = []
        for amount in (-2.0, 2.0):
            sides = [
                bundled.render(directions.move(each, {one: amount}), yaw=0, size=256) for each in portraits
            ]
            shown.append(measure(bundled, torch.stack([to_tensor(side) for side in sides])))
        for name, way in wanted[one.name].targets.items():
            change = (shown[1] - shown[0])[:, PROPERTIES.index(name)] * (1 if way > 0 else -1)
            assert float(change.mean()) > 0 and int((change > 0).sum()) >= 3, (one.name, name, change)


def test_moves_of_a_checkpoint_take_the_places_of_others(sep, tmp_path):
    wide, dark = torch.randn(512), torch.randn(80)
    rows = [
        (directions.Direction("texture", "Darker skin", dark, torch.ones(80)), Response(0.4, 0.1, "chin")),
        (directions.Direction("shape", "Wider face", wide, torch.zeros(512)), Response(0.4, -0.1, "chin")),
        (directions.Direction("shape", "Wider nose", wide, wide), Response(0.4, -0.3, "chin")),
        (
            directions.Direction("hair", "Longer hair", torch.ones(16), wide),
            Response(0.4, 0, "chin", "a seam"),
        ),
    ]
    sep.save_pretrained(tmp_path / "model")
    add_json(tmp_path / "model", directions.FILE, as_json(rows))
    loaded = FaceSep.from_pretrained(tmp_path / "model")
    loaded.save_pretrained(tmp_path / "again")
    for model in (loaded, FaceSep.from_pretrained(tmp_path / "again")):
        found = model.moves()
        named = {one.name: one for one in found if one.attribute in ("shape", "texture")}
        assert list(named) == ["Wider face", "Darker skin"]
        torch.testing.assert_close(named["Wider face"].vector, wide, atol=1e-3, rtol=1e-3)
        assert torch.equal(named["Darker skin"].origin, torch.ones(80))
        assert [one.attribute for one in found].count("hair") == GROUPS["hair"]
        placed = directions.places(found)
        assert placed["shape", 1] is named["Wider face"] and ("shape", 2) not in placed
        assert set(placed) < set(directions.PLACES) and len(placed) == len(found)
    assert [line.rpartition("| ")[2] for line in table(rows).splitlines()[2:]] == [
        "yes |",
        "yes |",
        "no |",
        "no: a seam |",
    ]
    write_checkpoint(tmp_path / "again", {}, {}, None)  # other weights have other moves
    assert not (tmp_path / "again" / directions.FILE).exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"moves": [{"name": "Smile", "attribute": "nose", "vector": [1.0]}], "origins": {}},
        {
            "moves": [{"name": "Smile", "attribute": "hair", "vector": [1.0] * 15}],
            "origins": {"hair": [0.0] * 16},
        },
        {
            "moves": [{"name": "Smile", "attribute": "hair", "vector": [float("nan")] * 16}],
            "origins": {"hair": [0.0] * 16},
        },
        {"moves": [{"name": "", "attribute": "hair", "vector": [1.0] * 16}], "origins": {"hair": [0.0] * 16}},
        {
            "moves": [{"name": "Smile", "attribute": "hair", "vector": [1.0] * 16}] * 2,
            "origins": {"hair": [0.0] * 16},
        },
        {
            "moves": [{"name": f"Move {k}", "attribute": "hair", "vector": [1.0] * 16} for k in range(4)],
            "origins": {"hair": [0.0] * 16},
        },
        {"moves": 3},
        {},
    ],
)
def test_moves_that_make_no_sense_are_refused(wrong):
    with pytest.raises(CheckpointError, match="moves.json"):
        directions.stored(wrong)


def test_regression_finds_the_change_that_moves_one_property():
    """In a linear world the property moves by a unit, those that are held do not, and free ones may."""
    generator = torch.Generator().manual_seed(3)
    codes = torch.randn(400, 16, generator=generator) * torch.linspace(0.5, 2, 16)
    truth = torch.randn(4, 16, generator=generator, dtype=torch.float64)
    names = ("one", "two", "three", "four")
    seen = codes.double() @ truth.T
    found = ridge(codes, seen, 1e-9)
    torch.testing.assert_close(found, truth, atol=1e-5, rtol=0)
    rows, typical = dict(zip(names, found, strict=True)), dict(zip(names, seen.std(0).tolist(), strict=True))
    moved = truth @ solve(codes, rows, {}, typical, Wanted("", "hair", {"two": -1})).double()
    assert float(moved[1]) == pytest.approx(-typical["two"], rel=1e-3)
    assert max(abs(float(moved[k])) for k in (0, 2, 3)) < 0.1 * typical["two"]
    least = solve(
        codes, rows, {}, typical, Wanted("", "hair", {"two": -1}, ("one", "three", "four"))
    ).double()
    assert float(truth[1] @ least) == pytest.approx(-typical["two"], rel=1e-3)
    direction = torch.cov(codes.double().T) @ truth[1]
    assert float(torch.cosine_similarity(-least, direction, dim=0)) > 0.99  # the likeliest change


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
