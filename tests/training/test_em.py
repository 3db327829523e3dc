"""The training loop on drawn heads: it learns, it resumes to the same numbers, it survives bad steps."""

from __future__ import annotations

import dataclasses
import itertools
import json
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from tiny_data import write_tiny

from facesep.codes import ATTRIBUTES
from facesep.config import EncoderConfig, preset
from facesep.errors import CheckpointError, ConfigError, DataError
from facesep.model import FaceSep
from facesep.nets.encoder import build_encoder
from facesep.training.ablation import switched
from facesep.training.config import Phase, TrainConfig, Weights, load_config
from facesep.training.dataset import Augmentation, TrainingSet
from facesep.training.em import Trainer
from facesep.training.export import release
from facesep.training.phases import EncoderPhase
from facesep.training.pretrain import load_heads
from facesep.training.processes import Processes
from facesep.training.runlog import RunLog

WEIGHTS = Weights(white=1.0, opacity=1.0, depth=0.3, image=1.0, cycle=0.1, swap=0.1)


def config(*phases: Phase, **changes) -> TrainConfig:
    values = {
        "preset": "tiny",
        "schedule": phases,
        "weights": WEIGHTS,
        "distance": "scaled",
        "shape_optimiser": "adam",
        "batch_size": 4,
        "micro_batch": 2,
        "partner_share": 0.5,
        "start": "labels",
        "ema": 0.9,
        "bf16": False,
        "image_store": 64,
        "log_every": 5,
    }
    return TrainConfig(**(values | changes))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> TrainingSet:
    shards, labels = write_tiny(tmp_path_factory.mktemp("tiny"))
    return TrainingSet(shards, labels, "train", 64)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    parts = {"d": trainer.decoder, "e": trainer.encoder}
    state = {f"{p}.{k}": v.clone() for p, module in parts.items() for k, v in module.state_dict().items()}
    state["book"] = trainer.book.read(torch.arange(len(trainer.data))).vector()
    return state


def test_batches_mirror_photos_with_their_points(data):
    plain = data.batch(torch.tensor([0, 1]), 32)
    torch.testing.assert_close(plain.photo[1], plain.photo[0].flip(-1))
    torch.testing.assert_close(plain.target[1], plain.target[0].flip(-1))
    torch.testing.assert_close(plain.points[1, 0, 0], 1 - plain.points[0, 1, 0])
    assert plain.target.shape[-1] == 32
    corner = plain.target[0, :, 0, 0]
    torch.testing.assert_close(corner, torch.ones(3))


def test_batches_know_the_hair(data):
    batch = data.batch(torch.tensor([0, 1]), 64)
    assert batch.hair.shape == batch.mask.shape == (2, 1, 64, 64)
    # The drawn heads: an oval of hair, of which the face covers all from row 18 down in the middle.
    assert batch.hair[0, 0, 12, 32] == batch.mask[0, 0, 12, 32] == 1
    assert batch.hair[0, 0, 40, 32] == 0 and batch.mask[0, 0, 40, 32] == 1
    assert (batch.hair <= batch.mask).all() and batch.hair[0, 0, 2, 2] == 0
    torch.testing.assert_close(batch.hair[1], batch.hair[0].flip(-1))
    varied = data.batch(torch.tensor([0, 1]), 64, Augmentation())
    assert (varied.hair <= varied.mask + 1e-6).all() and 0.5 < varied.hair.sum() / batch.hair.sum() < 1.5


@pytest.mark.parametrize("term", ["hair", "view"])
def test_terms_on_other_heads_and_poses_teach_both_networks(term, data, tmp_path):
    """``weights.hair`` and ``weights.view``: images that the photos' own heads and poses do not give."""
    torch.manual_seed(0)
    names = [one.name for one in dataclasses.fields(Weights)]
    wanted = Weights(**dict.fromkeys(names, 0.0) | dict.fromkeys(("pixel", "white", "image", term), 1.0))
    phase = Phase("joint", epochs=60, learning_rate=3e-3, final_learning_rate=3e-4)
    when = {f"{term}_every": 2, f"{term}_share": 1.0}
    steady = Augmentation(0, 0, 0, 0, 0)
    trainer = Trainer(config(phase, weights=wanted, augmentation=steady, **when), data, tmp_path)
    trainer.begin()
    batch = data.batch(torch.arange(4), 32)
    for step, seen in ((1, False), (2, True)):
        terms = trainer.activate(0).losses(step, batch)
        assert (term in terms) == seen
    terms[term].backward()  # alone
    assert learned(trainer.encoder.heads["rotation"]) == (term != "view")  # there poses are the book's
    for network in (trainer.decoder, trainer.encoder):
        assert learned(network)
        network.zero_grad()
    trainer.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1][term] < 0.6 * lines[0][term]


def test_every_weight_has_a_term(data, tmp_path):
    names = {one.name for one in dataclasses.fields(Weights)}
    every = {f"{term}_every": 1 for term in ("cycle", "swap", "hair", "view")}
    run = config(Phase("decoder"), Phase("joint"), weights=Weights(**dict.fromkeys(names, 1.0)), **every)
    trainer = Trainer(run, data, tmp_path)
    trainer.begin()
    batch = data.batch(torch.arange(4), 32)
    terms = [name for phase in (0, 1) for name in trainer.activate(phase).losses(1, batch)]
    found = {name.partition("_")[0] for name in terms}  # "code_shape"
    # Two need networks that are files (test_devices.py has them), "image" multiplies all on D(E(I)).
    assert found == names - {"perceptual", "identity", "image"}


def learned(network: torch.nn.Module) -> bool:
    """Whether a gradient reached it."""
    return any(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in network.parameters())


def test_partners_show_the_same_person(data):
    rows = torch.arange(len(data))
    for _ in range(5):
        partners = data.partner(rows)
        assert (partners != rows).all()
        for row, other in zip(rows.tolist(), partners.tolist(), strict=True):
            assert data.people[row // 2] == data.people[other // 2]


def test_labels_must_fit_the_shards(tmp_path):
    shards, _ = write_tiny(tmp_path / "a")
    _, labels = write_tiny(tmp_path / "b", count=3)
    with pytest.raises(DataError, match="no labels for"):
        TrainingSet(shards, labels, "train", 64)


def test_phase_d_moves_decoder_and_codes_alone_and_learns(data, tmp_path):
    torch.manual_seed(0)
    phase = Phase("decoder", epochs=30, learning_rate=5e-3, final_learning_rate=5e-3)
    trainer = Trainer(config(phase, augmentation=Augmentation(0, 0, 0, 0, 0)), data, tmp_path)
    trainer.begin()
    before = weights(trainer)
    trainer.run()
    after = weights(trainer)
    assert not torch.equal(before["book"], after["book"])
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("e."))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    first, last = (line["pixel"] + line["white"] for line in (lines[0], lines[-1]))
    assert last < 0.6 * first


def test_phase_e_leaves_the_decoder_alone(data, tmp_path):
    trainer = Trainer(config(Phase("encoder", epochs=2)), data, tmp_path)
    trainer.begin()
    before = weights(trainer)
    trainer.run()
    after = weights(trainer)
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("e."))
    for name in ATTRIBUTES:
        moved = [
            k for k in before if k.startswith(f"e.heads.{name}") and not torch.equal(before[k], after[k])
        ]
        assert moved, name


@pytest.mark.slow
def test_the_papers_encoder_trains_in_every_phase(data, tmp_path):
    """Narrow heads, but each with its own crop, norms and instrument; three phases of one step each."""
    torch.manual_seed(1)
    model = dataclasses.replace(
        preset("tiny"), encoder=EncoderConfig(recognition="ir18", width=8, parser="bisenet")
    )
    phases = (Phase("decoder", epochs=0.5), Phase("encoder", epochs=0.5), Phase("joint", epochs=0.5))
    run = config(
        *phases, model=model, distance="cosine", shape_optimiser="sgd", weights=Weights(image=1.0), clip=10.0
    )
    trainer = Trainer(run, data, tmp_path)
    trainer.begin()
    states = [weights(trainer)]
    step = trainer.learn

    def watched(*arguments):
        terms = step(*arguments)
        states.append(weights(trainer))
        return terms

    trainer.learn = watched
    trainer.run()
    assert trainer.skipped == 0 and len(states) == 4
    moved = [{k for k in a if not torch.equal(a[k], b[k])} for a, b in zip(states, states[1:], strict=False)]
    trained = {f"e.{name}" for name, _ in trainer.encoder.named_parameters()}
    assert not moved[0] & set(trained) and "book" in moved[0]
    for later in moved[1:]:
        assert {k for k in later if k.startswith("e.")} <= trained  # no statistics, no parser
        for name in ATTRIBUTES:
            assert any(k.startswith(f"e.heads.{name}.") for k in later), name
    assert not any(k.startswith("d.") for k in moved[1]) and any(k.startswith("d.") for k in moved[2])


def test_only_trains_the_named_part(data, tmp_path):
    trainer = Trainer(config(Phase("joint", epochs=2, only="upsampler.levels.1")), data, tmp_path)
    trainer.begin()
    before = weights(trainer)
    trainer.run()
    after = weights(trainer)
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert moved and all(k.startswith("d.upsampler.levels.1") for k in moved)


def test_a_stopped_run_ends_like_one_that_was_not(data, tmp_path):
    phases = (Phase("decoder", epochs=2), Phase("joint", epochs=2), Phase("decoder", epochs=1))
    whole = Trainer(config(*phases), data, tmp_path / "whole")
    whole.begin()
    whole.run()

    class StopError(Exception):
        pass

    stopped = Trainer(config(*phases), data, tmp_path / "stopped")
    stopped.begin()
    step = stopped.learn

    def interrupted(phase, batch, done):
        if stopped.phase == 1 and stopped.step == 3:
            raise StopError
        terms = step(phase, batch, done)
        stopped.step, stopped.total = stopped.step + 1, stopped.total + 1
        stopped.save()
        stopped.step, stopped.total = stopped.step - 1, stopped.total - 1
        return terms

    stopped.learn = interrupted
    with pytest.raises(StopError):
        stopped.run()
    resumed = Trainer(config(*phases), data, tmp_path / "stopped")
    resumed.resume()
    assert (resumed.phase, resumed.step) == (1, 3)
    resumed.run()
    wanted, found = weights(whole), weights(resumed)
    assert all(torch.equal(wanted[k], found[k]) for k in wanted)
    for name in ("decoder", "encoder"):
        for key, value in whole.averages[name].values.items():
            assert torch.equal(value, resumed.averages[name].values[key]), key


def test_a_phase_ends_when_its_time_is_up(data, tmp_path, monkeypatch):
    clock = itertools.count(step=0.1)  # seconds; looked at once a step
    monkeypatch.setattr("facesep.training.em.time", SimpleNamespace(monotonic=lambda: next(clock)))
    limited = Phase("joint", epochs=1000, minutes=2e-2, learning_rate=1e-3, final_learning_rate=1e-5)
    trainer = Trainer(config(limited, Phase("decoder", epochs=1)), data, tmp_path, checkpointing_steps=2)
    rates, step = [], trainer.optimisers["decoder"].step
    trainer.optimisers["decoder"].step = lambda: (
        rates.append(trainer.optimisers["decoder"].param_groups[0]["lr"]),
        step(),
    )
    trainer.begin()
    trainer.run()
    steps = len(data) // 4
    assert 10 < len(rates) - steps < 14 and trainer.total == len(rates)
    assert rates[0] == 1e-3 and rates[-steps - 1] < 5e-4  # the rate has followed the time
    # The time that has passed is part of the state.
    trainer.phase, trainer.step, trainer.seconds = 0, 1, 60 * limited.minutes
    trainer.total += 1
    trainer.save()
    resumed = Trainer(config(limited), data, tmp_path)
    resumed.resume()
    resumed.run()
    assert resumed.total == trainer.total + 1
    with pytest.raises(ConfigError, match="minutes"):
        Phase("joint", minutes=-1)


def test_a_step_that_is_not_finite_changes_nothing(data, tmp_path, monkeypatch):
    trainer = Trainer(config(Phase("joint", epochs=1)), data, tmp_path)
    trainer.begin()
    before = weights(trainer)
    losses = EncoderPhase.losses
    spoilt = lambda *a: {k: v * float("nan") for k, v in losses(*a).items()}  # noqa: E731
    monkeypatch.setattr(EncoderPhase, "losses", spoilt)
    trainer.run()
    after = weights(trainer)
    assert trainer.skipped == len(data) // 4
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_a_damaged_state_is_refused(data, tmp_path):
    trainer = Trainer(config(Phase("decoder", epochs=1)), data, tmp_path)
    with pytest.raises(CheckpointError, match="no complete training state"):
        trainer.resume()
    trainer.begin()
    trainer.save()
    state = tmp_path / "checkpoints" / "00000000" / "state"
    (state / "decoder.safetensors").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match=r"decoder\.safetensors"):
        trainer.resume()


def test_the_result_loads_as_a_checkpoint(data, tmp_path):
    trainer = Trainer(config(Phase("joint", epochs=1)), data, tmp_path / "run")
    trainer.begin()
    trainer.run()
    trainer.export(tmp_path / "checkpoint")
    sep = FaceSep.from_pretrained(tmp_path / "checkpoint")
    average = trainer.averages["encoder"].values
    assert all(torch.equal(average[k], v) for k, v in sep.encoder.state_dict().items())
    assert sep.extras["train_config"]["run"]["preset"] == "tiny"


def test_configurations_are_strict(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("preset: tiny\nschedule: [{kind: decoder, epochs: 1}]\n")
    loaded = load_config(path, ["weights.pixel=3", "batch_size=8"])
    assert (loaded.weights.pixel, loaded.batch_size) == (3.0, 8)
    for bad in ("nonsense=1", "batch_size=many", "weights.pixels=1", "schedule=[{kind: both}]", "seed"):
        with pytest.raises(ConfigError):
            load_config(path, [bad])
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "missing.yaml")


def test_a_release_carries_its_record(data, tmp_path):
    trainer = Trainer(config(Phase("decoder", epochs=1)), data, tmp_path / "run")
    trainer.begin()
    trainer.run()
    trainer.export(tmp_path / "checkpoint")
    about = {"license": "cc-by-4.0", "data": [{"name": "drawn heads", "images": 6, "license": "CC0"}]}
    tables = {"tables": [{"title": "Test", "command": "pytest", "rows": [{"a": 1.5}]}]}
    sep = release(tmp_path / "checkpoint", tmp_path / "release", about, tables, torch.float16)
    stored = trainer.averages["decoder"].values["background"].half().float()
    torch.testing.assert_close(sep.decoder.background, stored)
    card = (tmp_path / "release" / "README.md").read_text()
    for text in ("cc-by-4.0", "drawn heads", "1.5", "pytest"):
        assert text in card
    assert sep.extras["train_config"]["run"]["preset"] == "tiny"


def test_averages_begin_at_loaded_weights(data, tmp_path):
    trainer = Trainer(config(Phase("decoder", epochs=1)), data, tmp_path)
    with torch.no_grad():
        for parameter in trainer.encoder.parameters():
            parameter.fill_(0.5)
    trainer.begin()
    trainer.run()
    for name, value in trainer.averages["encoder"].state().items():
        assert torch.equal(value, trainer.encoder.state_dict()[name]), name


def test_heads_of_another_model_are_refused(tmp_path):
    light = preset("tiny").encoder
    torch.manual_seed(1)
    first, second = build_encoder(light), build_encoder(light)
    save_file(first.state_dict(), tmp_path / "heads.safetensors")
    load_heads(second, tmp_path / "heads.safetensors")
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    wider = build_encoder(dataclasses.replace(light, widths=(8, 24, 24)))
    (tmp_path / "damaged.safetensors").write_bytes(b"heads")
    for encoder, file in ((wider, "heads"), (second, "damaged"), (second, "absent")):
        with pytest.raises(CheckpointError, match="pretrain_heads"):
            load_heads(encoder, tmp_path / f"{file}.safetensors")


def test_an_ablation_reaches_the_weights_of_phases():
    run = config(Phase("encoder", weights={"cycle": 0.5, "swap": 0.0}), Phase("decoder"))
    for variant, term in (("without L_cyc", "cycle"), ("without L_dis", "swap")):
        without = switched(run, variant, 0)
        assert all(vars(without.weights_of(phase))[term] == 0 for phase in without.schedule)
    assert switched(run, "full", 0).schedule == run.schedule


def test_a_log_that_cannot_be_written_does_not_stop_the_run(tmp_path, caplog):
    log = RunLog(tmp_path, Processes(Accelerator()))
    (tmp_path / "log.jsonl").mkdir()
    (tmp_path / "samples").write_text("a file in the way")
    log.begin(1, phase=0)
    log.step({"pixel": torch.tensor(0.5)}, 4)
    log.means(0)
    log.samples(1, [torch.rand(2, 3, 8, 8)])
    assert "the log is not written, training goes on" in caplog.text
    assert "a sheet of samples is not written, training goes on" in caplog.text
