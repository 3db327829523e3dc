"""The loop that heads, refiner and detector share: rates, averages, log, checkpoints, going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facesep.errors import CheckpointError
from facesep.training.checkpoint import checkpoints
from facesep.training.loop import Loop
from facesep.training.optim import Average


class Line(Loop):
    """Fits a line with batch norm, from numbers that follow from the step."""

    def __init__(self, out: Path, steps: int = 6, **options) -> None:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        optimiser = torch.optim.AdamW(network.parameters())
        options = {"log_every": 2, "save_every": 3, "average": 0.9} | options
        super().__init__(network, optimiser, out, steps=steps, batch_size=5, clip=1.0, **options)

    def rate(self, step: int) -> float:
        return 0.01 / (1 + step)

    def losses(self, step: int) -> dict[str, Tensor]:
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        return {"square": (self.network(x) - x.sum(1, keepdim=True)).square().mean()}

    def saved(self) -> dict[str, float]:
        return {"checked": float(self.step)}


def values(loop: Loop) -> dict[str, Tensor]:
    state = {f"network.{key}": value for key, value in loop.network.state_dict().items()}
    return state | {f"average.{key}": value for key, value in loop.average.values.items()}


def test_a_stopped_run_ends_like_one_that_was_not(tmp_path):
    whole = Line(tmp_path / "whole")
    whole.run()
    Line(tmp_path / "stopped", steps=3).run()
    later = Line(tmp_path / "stopped")
    later.resume()
    assert later.step == 3
    later.run()
    for key, value in values(whole).items():
        assert torch.equal(values(later)[key], value), key
    assert [path.name for path in checkpoints(tmp_path / "stopped" / "checkpoints")] == [
        "00000003",
        "00000006",
    ]
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "square" in line] == [2, 4, 6]
    assert [line["checked"] for line in lines if "checked" in line] == [3, 6]
    assert [group["lr"] for group in whole.optimiser.param_groups] == [0.01 / 6]


def test_what_a_run_may_not_change(tmp_path):
    Line(tmp_path, steps=1, config={"width": 4, "clip": 1}, fixed=("width",)).run()
    Line(tmp_path, config={"width": 4, "clip": 2}, fixed=("width",)).resume()
    with pytest.raises(CheckpointError, match="another width"):
        Line(tmp_path, config={"width": 5}, fixed=("width",)).resume()
    with pytest.raises(CheckpointError, match="nothing to resume"):
        Line(tmp_path / "new").resume()


def test_a_step_that_is_not_finite_changes_nothing(tmp_path, monkeypatch):
    loop = Line(tmp_path)
    losses = loop.losses
    loop.run()
    before = {key: value.clone() for key, value in values(loop).items() if "running" not in key}
    monkeypatch.setattr(loop, "losses", lambda step: {"square": losses(step)["square"] * torch.nan})
    loop.learn(6)
    assert loop.skipped == 1
    assert all(torch.equal(values(loop)[key], value) for key, value in before.items() if "batches" not in key)


def test_averages_follow_their_formula():
    network = nn.Linear(1, 1, bias=False)
    average = Average(network, 0.6, warmup=(-1, 19))
    wanted = float(network.weight)
    for step in range(1, 60):
        with torch.no_grad():
            network.weight.fill_(step)
        average.update()
        keep = min(0.6, (step - 1) / (step + 19))
        wanted = keep * wanted + (1 - keep) * step
    assert float(average.state()["weight"]) == pytest.approx(wanted, rel=1e-5)
    none = Average(network, 0.0)
    none.update()
    assert none.steps == 0 and none.state()["weight"].data_ptr() == network.weight.data_ptr()
