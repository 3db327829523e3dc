"""Passes that a GPU can record: nothing in them waits for numbers or for copies from the processor."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from facesep import ConfigError, FaceSep
from facesep.backends import choose
from facesep.backends.graphs import Recorded, record
from facesep.codes import CODE_LENGTH, Codes
from facesep.config import preset
from facesep.constants import constant
from facesep.evaluation.bench import forms

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def codes(count: int = 2) -> Codes:
    vector = torch.randn(count, CODE_LENGTH, generator=torch.Generator().manual_seed(4)) * 0.4
    vector[:, -6:] *= 0.2
    return Codes.from_vector(vector)


class Copies(TorchDispatchMode):
    """Notes operations that touch another device than one, or bring a new constant to it."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.seen = device, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        leaves = tree_flatten((args, kwargs, result))[0]
        places = {leaf.device.type for leaf in leaves if isinstance(leaf, torch.Tensor)}
        if places - {self.device} or "lift" in str(function):
            self.seen.append(str(function))
        return result


@pytest.mark.parametrize("name", ["tiny", "small", "paper", "bundled"])
def test_no_pass_waits_for_the_processor(name):
    """Tensors on ``meta`` have no numbers: asking for one is an error, as it is while a GPU records."""
    bundled = name == "bundled"
    sep = FaceSep.from_pretrained() if bundled else forms.random_model(forms.sized(name))
    sep = sep.to("meta")
    image = torch.empty(1, 3, sep.image_size, sep.image_size, device="meta")
    points, one = torch.empty(1, 5, 2, device="meta"), codes(1).to("meta")

    def passes():
        with torch.no_grad():
            return sep.encoder(image), sep.encoder(image, points), sep.decoder(one)

    passes()  # makes the constants
    with Copies("meta") as copies:
        _, _, seen = passes()
    assert copies.seen == []
    assert seen.image.shape == image.shape
    with Copies("meta") as copies:
        torch.tensor([1.0, 2.0], device="meta")
        torch.zeros(2).to("meta")
    assert len(copies.seen) == 3  # the check itself sees such copies


def test_rays_that_miss_the_head_add_nothing(monkeypatch):
    """A GPU computes all rays, a CPU those that meet the head volume; the picture is the same."""
    sep = forms.random_model(forms.sized("small"))
    counts, march = [], sep.decoder._march

    def counting(folded, origins, directions, *rest):
        counts.append(directions.shape[1])
        return march(folded, origins, directions, *rest)

    monkeypatch.setattr(sep.decoder, "_march", counting)
    with torch.no_grad():
        wanted = sep.decoder(codes()).image
        chosen = sum(counts)
        monkeypatch.setattr("facesep.nets.decoder.leaves_out", lambda config, device: False)
        found = sep.decoder(codes()).image
    assert chosen < sum(counts) - chosen == sep.config.decoder.ray_size**2
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_batches_are_rendered_together_on_a_gpu(monkeypatch):
    sep = forms.random_model(forms.sized("tiny")).to("meta")
    counts = []
    render = sep._render_batch
    monkeypatch.setattr(sep, "_render_batch", lambda batch: counts.append(len(batch)) or render(batch))
    assert sep.render(codes(19), output="tensor").shape[0] == 19
    assert counts == [8, 8, 3]
    sep = forms.random_model(forms.sized("tiny"))
    render = sep._render_batch
    monkeypatch.setattr(sep, "_render_batch", lambda batch: counts.append(len(batch)) or render(batch))
    sep.render(codes(2), output="tensor")
    assert counts[3:] == [1, 1]


def test_recorded_passes_take_the_place_of_the_usual_ones():
    usual = forms.random_model(forms.sized("tiny"))
    sep, calls = copy.deepcopy(usual), []

    def recorder(function):
        def replay(*inputs):
            calls.append(len(inputs))
            return [one.clone() for one in function(*inputs)]

        return replay

    record(sep, recorder)
    image = torch.rand(2, 3, sep.image_size, sep.image_size)
    points = torch.rand(2, 5, 2) * sep.image_size
    with torch.no_grad():
        for given in ((image,), (image, points)):
            found, wanted = sep.encoder(*given).vector(), usual.encoder(*given).vector()
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        found, wanted = sep.decoder(codes()), usual.decoder(codes())
        for name in ("image", "opacity", "distance"):
            torch.testing.assert_close(getattr(found, name), getattr(wanted, name), atol=1e-4, rtol=1e-4)
        assert calls == [1, 2, 7]
        assert sep.decoder(codes(), levels=1).image.shape < wanted.image.shape
    for network in (sep.encoder, sep.decoder):  # with gradients nothing is recorded
        network.requires_grad_(True)
    sep.encoder(image).shape.sum().backward()
    sep.decoder(codes()).image.mean().backward()
    assert calls == [1, 2, 7]


def test_it_is_refused_without_a_gpu():
    with pytest.raises(ConfigError, match="NVIDIA GPU"):
        FaceSep.from_pretrained(backend="graphs")
    assert choose("graphs", "cuda:1", torch.bfloat16) == "graphs"


def test_constants_are_made_once():
    like = torch.zeros(1)
    one = constant((1.0, 2.0), like)
    assert constant((1.0, 2.0), like) is one and one.tolist() == [1.0, 2.0]
    assert constant((1.0, 2.0), like.double()).dtype == torch.float64
    with torch.inference_mode():
        late = constant((3.0, 4.0), like)
        assert late.is_inference()
    assert not constant((3.0, 4.0), like).is_inference()  # training may use it


@ON_GPU
def test_a_gpu_replays_what_it_recorded():
    sep = FaceSep(preset("tiny")).to("cuda")
    fast = copy.deepcopy(sep)._with_backend("graphs", "cuda", torch.float32)
    with torch.no_grad():
        for count in (1, 2, 1):
            image = torch.rand(count, 3, sep.image_size, sep.image_size, device="cuda")
            faces = codes(count).to("cuda")
            torch.testing.assert_close(
                fast.encoder(image).vector(), sep.encoder(image).vector(), atol=1e-3, rtol=1e-3
            )
            first = fast.decoder(faces).image
            torch.testing.assert_close(first, sep.decoder(faces).image, atol=1e-3, rtol=0)
            kept = first.clone()
            fast.decoder(faces.replace(texture=faces.texture + 1))
            assert torch.equal(first, kept)  # results belong to the caller


@ON_GPU
def test_few_sizes_are_kept():
    recorded = Recorded(lambda x: [x * 2])
    for count in range(1, 10):
        x = torch.arange(count, device="cuda")
        assert torch.equal(recorded(x)[0], 2 * x)
    assert len(recorded.recordings) == 4
