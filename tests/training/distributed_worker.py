"""One process of a distributed run; writes what it saw. Started by test_distributed.py."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from facesep.training.config import Phase, TrainConfig, Weights
from facesep.training.dataset import Augmentation, TrainingSet
from facesep.training.em import Trainer
from facesep.training.phases import DecoderPhase
from facesep.training.processes import digest

PHASES = (
    Phase("decoder", epochs=2, learning_rate=1e-3),
    Phase("encoder", epochs=1, learning_rate=1e-3),
    Phase("joint", epochs=1, learning_rate=1e-3),
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards")
    parser.add_argument("labels")
    parser.add_argument("out", type=Path)
    parser.add_argument("--nan-rank", type=int)
    parser.add_argument("--plain", action="store_true", help="one step on all photos, without randomness")
    parser.add_argument("--resume", type=Path, help="a checkpoint to go on from")
    arguments = parser.parse_args()
    data = TrainingSet(arguments.shards, arguments.labels, "train", 64)
    values = {"preset": "tiny", "distance": "scaled", "shape_optimiser": "adam", "start": "labels"}
    values |= {"weights": Weights(white=1.0, image=1.0), "bf16": False, "image_store": 64, "log_every": 1}
    values |= {"batch_size": 2, "micro_batch": 2, "schedule": PHASES}
    trainer = Trainer(TrainConfig(**values), data, arguments.out)
    if arguments.plain:
        plain(trainer, TrainConfig(**values), data, arguments.out)
        trainer.log.end()
        return
    if arguments.resume:
        trainer.resume(arguments.resume)
    else:
        trainer.begin()
    rank, book = trainer.processes.rank, trainer.book
    rows = book.rows()
    record = {"world": trainer.processes.count, "rows": rows.tolist(), "before": state(trainer)}
    record["sums_before"] = book.read(rows).vector().double().sum(1).tolist()
    seen, digests, count = set(), [], 0
    step, samples = trainer.learn, trainer.log.samples

    def watched(phase, batch, done):
        nonlocal count
        count += 1
        seen.update(batch.rows.tolist())
        return step(phase, batch, done)

    def after_phase(*arguments):
        digests.append(state(trainer))
        samples(*arguments)

    trainer.learn, trainer.log.samples = watched, after_phase
    if arguments.nan_rank is not None:
        trainer.config = TrainConfig(**(values | {"schedule": PHASES[:1]}))
        if rank == arguments.nan_rank:
            terms = DecoderPhase.losses
            DecoderPhase.losses = lambda *a: {k: v * float("nan") for k, v in terms(*a).items()}
    trainer.run()
    record |= {"digests": digests, "skipped": trainer.skipped, "steps": count, "data_seen": sorted(seen)}
    record["sums"] = book.read(rows).vector().double().sum(1).tolist()
    (arguments.out / f"rank{rank}.json").write_text(json.dumps(record))
    trainer.log.end()


def plain(trainer: Trainer, config: TrainConfig, data: TrainingSet, out: Path) -> None:
    """One step without jitter or augmentation on photos 0 to 3, however many processes share them."""
    from dataclasses import replace

    count = trainer.processes.count
    still = replace(
        config,
        batch_size=4 // count,
        micro_batch=1,
        schedule=(Phase("decoder", learning_rate=1.0, final_learning_rate=1.0),),
        augmentation=Augmentation(0, 0, 0, 0, 0),
        clip=1e9,
        ema=0.0,
    )
    trainer = Trainer(still, data, out, accelerator=trainer.accelerator)
    decoder = trainer.decoder.forward
    trainer.decoder.forward = lambda *a, **k: decoder(*a, **(k | {"jitter": False}))
    for optimiser in trainer.optimisers.values():  # plain gradient descent shows the gradient itself
        optimiser.step = lambda o=optimiser: _descend(o)
    trainer.begin()
    trainer.book.mark()
    own = torch.tensor([0, 2, 4, 6])
    own = own[own // 2 % count == trainer.processes.rank]
    before = {k: v.clone() for k, v in trainer.decoder.state_dict().items()}
    phase = trainer.activate(0)
    trainer.learn(phase, data.batch(own, phase.image_size), 0.0)
    moved = {k: float((v - before[k]).double().norm()) for k, v in trainer.decoder.state_dict().items()}
    if trainer.processes.first:
        out.mkdir(parents=True, exist_ok=True)
        (out / "rank0.json").write_text(json.dumps({"weights": moved}))


@torch.no_grad()
def _descend(optimiser: torch.optim.Optimizer) -> None:
    for parameter in optimiser.param_groups[0]["params"]:
        if parameter.grad is not None:
            parameter -= parameter.grad


def state(trainer: Trainer) -> str:
    return digest(trainer.decoder.state_dict()) + digest(trainer.encoder.state_dict())


if __name__ == "__main__":
    main()
