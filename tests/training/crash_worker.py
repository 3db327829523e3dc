"""A training run that kills itself (SIGKILL) where it is told to. Started by test_crash.py."""

from __future__ import annotations

import argparse
import os
import resource
import signal

import facesep.checkpoint
from facesep.training.config import Phase, TrainConfig, Weights
from facesep.training.dataset import TrainingSet
from facesep.training.em import Trainer

CONFIG = TrainConfig(
    preset="tiny",
    distance="scaled",
    shape_optimiser="sgd",
    start="labels",
    weights=Weights(white=1.0, opacity=1.0, image=1.0),
    batch_size=4,
    micro_batch=2,
    partner_share=0.5,
    ema=0.9,
    bf16=False,
    image_store=64,
    log_every=1,
    schedule=(Phase("decoder", epochs=2), Phase("encoder", epochs=2), Phase("joint", epochs=1)),
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards")
    parser.add_argument("labels")
    parser.add_argument("out")
    parser.add_argument("--die-at", nargs=2, type=int, metavar=("PHASE", "STEP"))
    parser.add_argument("--die-while-saving", type=int, metavar="N", help="in the N-th checkpoint")
    parser.add_argument("--disk-full-at", type=int, metavar="N", help="the N-th checkpoint does not fit")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    data = TrainingSet(arguments.shards, arguments.labels, "train", 64)
    trainer = Trainer(CONFIG, data, arguments.out, checkpointing_steps=1)
    step, save, saves = trainer.learn, trainer.save, 0

    def dying_step(phase, batch, done):
        if arguments.die_at == [trainer.phase, trainer.step]:
            die()
        return step(phase, batch, done)

    def counted_save():
        nonlocal saves
        saves += 1
        if saves == arguments.die_while_saving:  # everything is written and nothing renamed yet
            facesep.checkpoint._swap = lambda *_: die()
        if saves == arguments.disk_full_at:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
            written = save()
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            return written
        return save()

    trainer.learn, trainer.save = dying_step, counted_save
    if arguments.resume:
        trainer.resume()
    else:
        trainer.begin()
    trainer.run()


if __name__ == "__main__":
    main()
