"""The disentanglement score on a linear world in which it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from facesep.codes import CODE_SIZES, Codes
from facesep.data.heads import Photo
from facesep.errors import ConfigError, DataError
from facesep.evaluation import separation
from facesep.evaluation.paper import FACTORS
from facesep.evaluation.runner import Processes, ResultLog
from facesep.evaluation.separation import Plan, Separation, spread_of
from facesep.faces import Aligned

ALONE = Processes()
SIDE = 27  # 27 * 27 pixels hold the 705 numbers of a code
LEAK = 0.1


def picture_of(vector: torch.Tensor) -> torch.Tensor:
    """A code as a picture, ``[3, 27, 27]``."""
    flat = torch.zeros(SIDE * SIDE)
    flat[: len(vector)] = vector
    return flat.view(1, SIDE, SIDE).expand(3, -1, -1)


class World:
    """Photos, model and estimator: a photo's code is in its pixels, and expression leaks into pose."""

    size = image_size = SIDE
    device, dtype = torch.device("cpu"), torch.float32
    name = "oracle"

    def __init__(self, count: int = 400) -> None:
        self.vectors = torch.randn(
            count, sum(CODE_SIZES.values()), generator=torch.Generator().manual_seed(0)
        )
        self.renders = 0

    def __len__(self) -> int:
        return len(self.vectors)

    def read(self, place: int) -> Photo:
        aligned = Aligned.of_crop(_Exact(picture_of(self.vectors[place])), np.zeros((5, 2)))
        return Photo(f"p{place}", f"p{place}", {}, aligned, torch.ones(1, SIDE, SIDE))

    def encode(self, photos: list[Aligned], fit: int) -> Codes:
        return self.encoder(torch.stack([photo.image.tensor for photo in photos]))

    def encoder(self, crops) -> Codes:
        return Codes.from_vector(crops[:, 0].flatten(1)[:, : self.vectors.shape[1]])

    def render(self, codes: Codes, output: str) -> torch.Tensor:
        self.renders += len(codes)
        return torch.stack([picture_of(vector) for vector in codes.vector()])

    def estimate(self, images) -> dict[str, np.ndarray]:
        codes = self.encoder(images)
        read = {name: code.double().numpy() for name, code in codes.items() if name != "hair"}
        return {**read, "rotation": read["rotation"] + LEAK * read["expression"][:, :3]}


class _Exact(Image.Image):
    """A PIL image with float pixels beside it."""

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__()
        self._size = (SIDE, SIDE)
        self.tensor = tensor


@pytest.fixture
def world(monkeypatch) -> World:
    monkeypatch.setattr("facesep.data.heads.to_tensor", lambda image: image.tensor)
    return World()


def test_spread_against_numpy():
    values = np.random.default_rng(0).normal(size=(7, 5))
    assert spread_of(values, "variance") == pytest.approx(np.trace(np.cov(values.T)))
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(values) for b in values[:i]]
    assert spread_of(values, "distance") == pytest.approx(np.mean(pairs))
    broken = np.concatenate((values, np.full((2, 5), np.nan)))
    assert spread_of(broken, "variance") == pytest.approx(spread_of(values, "variance"))
    assert np.isnan(spread_of(broken[-3:], "variance"))


@pytest.mark.parametrize("kind", separation.SPREADS)
def test_leak_is_measured(world, kind):
    """What varies spreads as among photos (1), pose follows expression by the leak, the rest stays still."""
    plan = Plan(sets=40, values=8, spread=kind)
    found = separation.measure(world, world, world, plan, ResultLog(None, "x", {}), ALONE)
    assert world.renders == 5 * 40 * 8
    table = separation.matrix(found)
    np.testing.assert_allclose(np.diag(table), 1, atol=0.12)
    share = LEAK**2 / (1 + LEAK**2) if kind == "variance" else LEAK / np.sqrt(1 + LEAK**2)
    leak = table[FACTORS.index("expression"), FACTORS.index("pose")]
    assert leak == pytest.approx(share, rel=0.15)
    table[FACTORS.index("expression"), FACTORS.index("pose")] = 0
    np.testing.assert_allclose(table - np.diag(np.diag(table)), 0, atol=1e-5)


@pytest.mark.parametrize("kind", separation.SPREADS)
def test_side_effects(world, kind):
    """Pose moves with expression by the leak, as a share of its own moves; nothing else moves."""
    plan = Plan(sets=40, values=8, spread=kind)
    found = separation.side_effects(
        separation.measure(world, world, world, plan, ResultLog(None, "x", {}), ALONE)
    )
    leak = found["expression"]["pose"]
    assert leak.value == pytest.approx(LEAK, rel=0.15) and leak.low < LEAK < leak.high
    others = [one for row in found.values() for one in row.values() if one is not leak]
    assert len(others) == 19 and all(one.high < 1e-3 for one in others)
    rows = separation.side_effect_rows(found)
    assert rows[1]["pose"].startswith("10 % (") and rows[1]["expression"] is None
    assert "20 of 20 are below it, 20 with" in separation.side_effects_note(found)


def test_score_is_the_product_of_ratios():
    spreads = np.array([0.5, 0.1, 0.2, 0.25, 0.05])
    assert separation.score(spreads, 0) == pytest.approx(0.5**4 / (0.1 * 0.2 * 0.25 * 0.05))
    sets = {factor: np.tile(np.roll(spreads, k), (6, 1)) for k, factor in enumerate(FACTORS)}
    sets["shape"][3] = np.nan  # a set in which nothing was read is left out
    for factor, one in separation.scores(Separation(sets, 9)).items():
        assert one.value == pytest.approx(separation.score(spreads, 0)), factor
        assert one.low == pytest.approx(one.value) and one.high == pytest.approx(one.value)


def test_draws_are_fixed_and_of_other_people():
    people = [f"p{k // 2}" for k in range(40)]
    plan = Plan(values=6, seed=3)
    for number in range(20):
        base, donors = separation.draw(people, plan, "texture", number)
        assert separation.draw(people, plan, "texture", number) == (base, donors)
        assert len({people[row] for row in (base, *donors)}) == 7
    assert separation.draw(people, plan, "pose", 0) != separation.draw(people, plan, "texture", 0)


def test_it_goes_on_and_shares(world, tmp_path):
    plan = Plan(sets=3, values=4)
    whole = separation.measure(world, world, world, plan, ResultLog(None, "x", {}), ALONE)
    second = Processes(1, 2, "cpu", lambda: None)
    assert separation.measure(world, world, world, plan, ResultLog(tmp_path, "x", {}, 1), second, 2) is None
    before = world.renders
    again = separation.measure(world, world, world, plan, ResultLog(tmp_path, "x", {}), ALONE, 2)
    assert world.renders - before == 8 * 4
    for factor in FACTORS:
        np.testing.assert_allclose(again.sets[factor], whole.sets[factor], atol=1e-6)


def test_impossible_plans(world):
    for plan, words in (
        (Plan(sets=0), "at least one set"),
        (Plan(spread="range"), "unknown spread"),
        (Plan(values=400), "at least 401 people"),
    ):
        with pytest.raises(ConfigError, match=words):
            separation.measure(world, world, world, plan, ResultLog(None, "x", {}), ALONE)
    world.vectors[:] = 0.5
    with pytest.raises(DataError, match="no differences"):
        separation.measure(world, world, world, Plan(), ResultLog(None, "x", {}), ALONE)
