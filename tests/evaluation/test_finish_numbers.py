"""Numbers of the Finish network: what is known beforehand comes out."""

from __future__ import annotations

import pytest
import torch
from credited import PHOTOS

from facesep import FaceSep
from facesep.errors import ConfigError
from facesep.evaluation import finish
from facesep.evaluation.detail import Sitter
from facesep.images import to_tensor
from facesep.nets.finish import Draft, Finish


def draft(colours: torch.Tensor, confidence: torch.Tensor) -> Draft:
    one = torch.ones_like(confidence)
    return Draft(colours, confidence, one, one, colours, colours, one, torch.zeros(1, 3, 8, 8))


def test_only_the_hidden_part_counts():
    torch.manual_seed(0)
    truth = torch.rand(1, 3, 32, 32)
    confidence = torch.ones(1, 1, 32, 32)
    confidence[..., 16:] = 0.0
    wrong = truth.clone()
    wrong[..., :16] = 0.0  # where the photo is sure: not looked at
    grey = torch.where(confidence > 0.5, wrong, 0.5)
    found = finish.compare(
        draft(grey, confidence), wrong, truth, torch.ones_like(confidence), lambda a, b: (a - b).abs().sum()
    )
    assert found["L1"]["alone"] == pytest.approx(float((truth[..., 16:] - 0.5).abs().mean()), abs=1e-5)
    assert found["energy"]["alone"] == pytest.approx(0, abs=1e-5)
    assert found["L1"]["finished"] == found["ST-LPIPS"]["finished"] == 0
    assert found["energy"]["finished"] == pytest.approx(1, abs=1e-5)


def test_nothing_hidden_nothing_measured():
    truth = torch.rand(1, 3, 8, 8)
    sure = torch.ones(1, 1, 8, 8)
    assert finish.compare(draft(truth, sure), truth, truth, sure) == {}


@pytest.mark.slow
def test_a_whole_measurement():
    """A network that gives the draft back is as good as none."""
    sep = FaceSep.from_pretrained()
    sitters = [
        Sitter(name, name, "", face, to_tensor(face.frames[0].crop.apply(face.frames[0].photo, 512)))
        for name in ("london_099", "london_101")
        for face in [sep.portrait(PHOTOS / f"{name}.jpg")]
    ]
    sep.finish = None
    with pytest.raises(ConfigError, match="no Finish network"):
        finish.measure(sep, sitters)
    sep.finish = Finish().eval().requires_grad_(False)
    torch.nn.init.constant_(sep.finish.last.bias.data.view(4, -1)[3], -100.0)  # nothing of the mirrored head
    found = finish.measure(sep, sitters)
    for name in ("L1", "energy"):
        forms = found["turn"][name]
        assert forms["alone"].value == pytest.approx(forms["finished"].value, abs=1e-5)
        assert forms["alone"].value > 0.01
    flicker = finish.flicker(sep, sitters[:1])
    assert flicker["alone"].value == pytest.approx(flicker["finished"].value, abs=1e-4)
    assert {row["way"] for row in finish.rows(found)} == {"turn", "expression", "hair", "all"}
    assert finish.sheet(sep, sitters[:1], 64).shape == (3, 64, 7 * 64)
