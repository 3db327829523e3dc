"""The committed configurations, and what the switches of Table 5 switch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_data import write_tiny

from facesep.codes import CODE_SIZES, Codes
from facesep.config import preset
from facesep.errors import ConfigError
from facesep.model import FaceSep
from facesep.nets.decoder import Decoder
from facesep.training.config import Phase, TrainConfig, Weights, load_config
from facesep.training.dataset import TrainingSet
from facesep.training.em import Trainer


def test_the_papers_schedule():
    config = load_config("paper")
    kinds = [(phase.kind, phase.epochs) for phase in config.schedule]
    assert kinds[:2] == [("decoder", 10), ("encoder", 5)]
    assert sum(epochs for _, epochs in kinds) == 150
    assert all(a[0] != b[0] for a, b in zip(kinds, kinds[1:], strict=False))  # D and E in turn
    first = config.weights_of(config.schedule[1])
    assert (first.code, first.cycle, first.swap) == (1, 0, 0)
    assert all(config.weights_of(phase) == config.weights for phase in config.schedule[2:])
    assert all(phase.learning_rate == phase.final_learning_rate == 5e-4 for phase in config.schedule)
    decoder = config.model_config().decoder
    assert decoder.ray_size**2 == 1024 and decoder.samples == 64
    smaller = load_config("paper", ["model.decoder.image_size=256"])
    assert smaller.model_config() == dataclasses.replace(
        preset("paper"), decoder=dataclasses.replace(decoder, image_size=256)
    )


def test_mini_is_the_bundled_checkpoint():
    bundled = FaceSep.from_pretrained().config  # its last step, train/skin.py, is no part of a training
    assert preset("mini") == dataclasses.replace(
        bundled, encoder=dataclasses.replace(bundled.encoder, skin=False)
    )
    first = load_config("mini").model_config()
    grown = ["model.decoder.ray_size=32", "model.decoder.modulated=true", "model.encoder.input_size=128"]
    grown += ["model.encoder.stem=4", "model.encoder.blocks=[1, 2, 4, 1]"]
    assert load_config("mini", grown).model_config() == preset("mini") != first


def test_a_file_says_how_its_model_differs_from_the_preset():
    tiny = preset("tiny")
    assert load_config("tiny").model_config() == tiny
    wanted = dataclasses.replace(tiny, decoder=dataclasses.replace(tiny.decoder, samples=4))
    assert load_config("tiny", ["model.decoder.samples=4"]).model_config() == wanted
    for wrong in ("model=4", "model.decoder=4", "model.decoder.rays=4", "model.head.width=4", "preset=huge"):
        with pytest.raises(ConfigError):
            load_config("tiny", ["model.encoder.input_size=32", wrong])


def run(data: TrainingSet, out: Path, **changes) -> Trainer:
    values = {"preset": "tiny", "distance": "scaled", "shape_optimiser": "adam", "bf16": False}
    values |= {"weights": Weights(image=1.0), "batch_size": 4, "micro_batch": 4, "image_store": 64}
    values |= {"schedule": (Phase("decoder", epochs=1), Phase("encoder", epochs=2)), "log_every": 1}
    trainer = Trainer(TrainConfig(**(values | changes)), data, out)
    trainer.begin()
    trainer.run()
    return trainer


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> TrainingSet:
    return TrainingSet(*write_tiny(tmp_path_factory.mktemp("tiny")), "train", 64)


def test_a_loss_cannot_vanish_unseen():
    with pytest.raises(ConfigError, match="L_dis"):
        load_config("paper", ["micro_batch=1"])
    load_config("paper", ["micro_batch=1", "weights.swap=0"])
    joint = ["weights.swap=0", "weights.image=1", "weights.hair=1"]
    load_config("paper", joint)
    for more, message in (
        ([*joint, "micro_batch=1"], "weights.hair exchanges faces"),
        ([*joint, "weights.image=0"], "weights.hair needs phases"),
        (["weights.view=1"], "weights.view needs phases"),
        (["schedule=[{kind: decoder, weights: {view: 1}}]"], "weights.view needs phases"),
        (["schedule=[{kind: joint, only: upsampler, weights: {hair: 1, image: 1}}]"], "weights.hair needs"),
        ([*joint, "model.decoder.hair=false"], "a decoder with a hair code"),
        *(
            [[f"{name}_every=0"], f"{name}_every must"]
            for name in ("cycle", "swap", "hair", "view", "identity")
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config("paper", more)


def test_losses_can_be_left_out(data, tmp_path):
    for name in ("swap", "cycle"):
        run(data, tmp_path / name, weights=Weights(**{name: 0.0}))
        log = (tmp_path / name / "log.jsonl").read_text()
        other = "cycle" if name == "swap" else "swap"
        assert f'"{name}"' not in log and f'"{other}"' in log


def test_without_a_hair_code_nothing_of_it_is_left(data, tmp_path):
    tiny = preset("tiny")
    model = dataclasses.replace(tiny, decoder=dataclasses.replace(tiny.decoder, hair=False))
    trainer = run(data, tmp_path, model=model)
    assert trainer.decoder.field.trunk[0].in_features < Decoder(tiny.decoder).field.trunk[0].in_features
    assert "hair" not in trainer.networks.attributes
    log = (tmp_path / "log.jsonl").read_text()
    assert "code_hair" not in log and "code_shape" in log
    codes = trainer.book.read(torch.arange(2))
    other = codes.replace(hair=codes.hair + 3)
    with torch.no_grad():
        assert torch.equal(trainer.decoder(codes).image, trainer.decoder(other).image)


def test_phases_override_weights(data, tmp_path):
    phases = (Phase("encoder", epochs=1, weights={"cycle": 0.0}), Phase("encoder", epochs=1))
    run(data, tmp_path, schedule=phases)
    first, second = (
        (tmp_path / "log.jsonl").read_text().splitlines()[:1],
        (tmp_path / "log.jsonl").read_text().splitlines()[-1:],
    )
    assert '"cycle"' not in first[0] and '"cycle"' in second[0]


def test_recomputing_saves_memory_and_changes_nothing():
    torch.manual_seed(0)
    decoder = Decoder(dataclasses.replace(preset("tiny").decoder, samples=16))
    codes = Codes(**{name: torch.randn(2, size) * 0.1 for name, size in CODE_SIZES.items()})
    plain, plain_size = gradients(decoder, codes)
    decoder.recompute = True
    again, again_size = gradients(decoder, codes)
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert again_size < 0.7 * plain_size


def gradients(decoder: Decoder, codes: Codes) -> tuple[list[torch.Tensor], int]:
    """Gradients of a jittered render, and how many numbers autograd kept for them."""
    sizes: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    decoder.zero_grad()
    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        image = decoder(codes, jitter=True).image
    image.square().sum().backward()
    return [p.grad.clone() for p in decoder.parameters()], sum(sizes)
