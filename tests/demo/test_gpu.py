"""Spaces that lend a GPU: marked functions run elsewhere with what travels, and give the same."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from facesep.demo import actions, gpu, inside
from facesep.demo import photos as reading


@pytest.fixture
def lent(monkeypatch) -> list[int]:
    """A stand-in for the package of such Spaces: everything travels as bytes, as it does there."""
    calls: list[int] = []

    def decorator(duration: int):
        def mark(function):
            def called(*args, **kwargs):
                calls.append(duration)
                args, kwargs = pickle.loads(pickle.dumps((args, kwargs)))
                result = function(*args, **kwargs)
                if hasattr(result, "__next__"):
                    return (pickle.loads(pickle.dumps(one)) for one in result)
                return pickle.loads(pickle.dumps(result))

            return called

        return mark

    spaces = ModuleType("spaces")
    spaces.GPU = decorator
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    return calls


def test_elsewhere_nothing_changes(monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", None)  # cannot be imported

    def function(model):
        return model

    assert gpu.on_gpu(function) is function


def test_marked_functions_give_the_same_elsewhere(sep, photos, lent):
    subject = reading.read(sep, photos[0])
    codes = gpu.on_gpu(reading.encode)(sep, subject.aligned)
    assert torch.equal(codes.vector(), subject.codes.vector())
    picture = gpu.on_gpu(actions._render)(sep, codes, 10, None, {})
    assert np.array_equal(np.asarray(picture), np.asarray(sep.render(codes, yaw=10)))
    frames = list(gpu.on_gpu(actions._orbit)(sep, codes, 20.0, 5.0, 4, {}))
    assert len(frames) == 4
    tracks = {"rotation": torch.zeros(2, 3)}
    moved = list(gpu.on_gpu(actions._moved)(sep, codes, tracks, {}))
    assert np.array_equal(np.asarray(moved[0]), np.asarray(sep.render(codes, yaw=0, pitch=0, roll=0)))
    assert gpu.on_gpu(inside._opacity)(sep, codes).shape == (sep.config.decoder.ray_size,) * 2
    plain, found = sep.moves(), gpu.on_gpu(type(sep).moves)(sep)
    assert [one.name for one in found] == [one.name for one in plain]
    assert lent == [gpu.SECONDS] * 6
