"""What the importers refuse, and how they say so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden import Golden
from official import hollow, vgg19_state

from facesep.errors import CheckpointError
from facesep.importers import ORIGINS, bisenet, identify, vgg19


class Payload:
    """A pickle that would create a file when loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_pickle_that_needs_more_than_tensors_is_refused(origin, tmp_path):
    trap = tmp_path / "executed"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "callback": Payload(trap)}, tmp_path / "w.ckpt")
    with pytest.raises(CheckpointError, match="more than tensors.*container without network"):
        ORIGINS[origin].load(tmp_path / "w.ckpt")
    with pytest.raises(CheckpointError, match="more than tensors"):
        identify(tmp_path / "w.ckpt")
    assert not trap.exists()


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_file_of_another_origin_is_named(origin, tmp_path):
    torch.save({"net_recon": {"some.other.weight": torch.zeros(3)}}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth is (not|neither)"):
        ORIGINS[origin].load(tmp_path / "w.pth")
    found = identify(tmp_path / "w.pth")
    assert found.origin == ""
    assert "not a weight file" in str(found)


def test_what_differs_is_named(tmp_path):
    rows = Golden("bisenet").rows()
    state = hollow(rows)
    state["cp.arm16.conv.conv.weight"] = torch.zeros(128, 256, 1, 1)
    del state["ffm.conv1.weight"]
    state["ffm.conv9.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as error:
        bisenet.load(tmp_path / "w.pth")
    message = str(error.value)
    assert "missing: ffm.conv1.weight" in message
    assert "unexpected: ffm.conv9.weight" in message
    assert "cp.arm16.conv.conv.weight is [128, 256, 1, 1] instead of [128, 256, 3, 3]" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value, tmp_path):
    state = vgg19_state()
    state["features.5.bias"] = torch.full((128,), value)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"not finite in features\.5\.bias"):
        vgg19.load(tmp_path / "w.pth")


def test_damaged_and_missing_files(tmp_path):
    torch.save(vgg19_state(), tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    for name, content in {
        "cut.pth": whole[: len(whole) // 2],
        "empty.pth": b"",
        "text.pth": b"<!DOCTYPE html><title>Quota exceeded</title>",
        "text.safetensors": b"<!DOCTYPE html><title>Quota exceeded</title>",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            identify(tmp_path / name)
    with pytest.raises(CheckpointError, match="no file"):
        identify(tmp_path / "nowhere.pth")
