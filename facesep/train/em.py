"""Trains a model by alternating phases: ``accelerate launch train/em.py --config mini``.

Examples:
    python train/em.py --config mini --shards data/portraits
        --labels data/labels.safetensors --encoder runs/heads/encoder.safetensors --out runs/mini
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from facesep.config import to_dict
from facesep.errors import ConfigError
from facesep.hub import is_repo, push
from facesep.model import FaceSep
from facesep.training.config import load_config
from facesep.training.dataset import TrainingSet
from facesep.training.em import Trainer
from facesep.training.grow import grown, grown_encoder
from facesep.training.loss_networks import loss_networks
from facesep.training.pretrain import load_heads
from facesep.training.processes import Processes, new_accelerator
from facesep.training.publish import Publisher, fetch_state
from facesep.training.runlog import TRACKERS, RunLog
from facesep.training.script import new_parser, run_script
from facesep.training.skin import with_skin


def main() -> None:
    """Parses arguments and runs the schedule."""
    parser = new_parser(__doc__, "config", "set", "shards", "out", "private")
    parser.add_argument("--labels", help="file written by train/analyse.py; not needed with start: encoder")
    parser.add_argument(
        "--init",
        help="checkpoint (folder or user/repo) whose networks the run starts from; the run has its model "
        "configuration, unless the file has one",
    )
    parser.add_argument("--encoder", help="pretrained heads, written by train/pretrain_heads.py")
    parser.add_argument(
        "--perceptual", help="weights for L_perc (.safetensors); without it L_perc is left out"
    )
    parser.add_argument("--recogniser", help="weights for L_id (.safetensors); without it L_id is left out")
    parser.add_argument("--resume_from_checkpoint", metavar="latest|FOLDER|USER/REPO", help="continue a run")
    parser.add_argument("--checkpointing_steps", type=int, default=1000, help="steps between checkpoints")
    parser.add_argument("--checkpoints_total_limit", type=int, default=2, help="how many are kept")
    parser.add_argument("--report_to", nargs="*", default=[], choices=TRACKERS, help="trackers to log to")
    parser.add_argument("--push_to_hub", action="store_true", help="push every round, and the result")
    parser.add_argument("--hub_model_id", metavar="USER/REPO", help="repository to push to")
    run_script(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Builds the trainer and runs it to the end of the schedule."""
    if arguments.push_to_hub and not arguments.hub_model_id:
        raise ConfigError("--push_to_hub needs --hub_model_id user/repo")
    config = load_config(arguments.config, arguments.set)
    start = with_skin(FaceSep.from_pretrained(arguments.init)) if arguments.init else None
    if start is not None and config.model is None:
        config = dataclasses.replace(config, model=start.config)
    perceptual, recogniser = loss_networks(config, arguments.perceptual, arguments.recogniser)
    accelerator = new_accelerator(config.bf16)
    data = TrainingSet(
        arguments.shards,
        arguments.labels,
        "train",
        config.image_store,
        config.in_memory,
        config.mirror,
        device=accelerator.device,
    )
    log = RunLog(
        Path(arguments.out), Processes(accelerator), tuple(arguments.report_to), to_dict(config), bar=True
    )
    publisher = Publisher(arguments.hub_model_id, arguments.private) if arguments.push_to_hub else None
    trainer = Trainer(
        config,
        data,
        arguments.out,
        perceptual,
        recogniser,
        accelerator,
        log,
        arguments.checkpointing_steps,
        arguments.checkpoints_total_limit,
        publisher,
    )
    if arguments.resume_from_checkpoint:
        trainer.resume(find_state(arguments.resume_from_checkpoint, Path(arguments.out)))
    else:
        if start is not None:
            begin_with(trainer, start)
        if arguments.encoder:
            load_heads(trainer.encoder, arguments.encoder)
        trainer.begin()
    trainer.run()
    log.end()
    if accelerator.is_main_process:
        folder = Path(arguments.out) / "checkpoint"
        trainer.export(folder)
        if publisher is not None:
            publisher.wait()
            print(push(folder, arguments.hub_model_id, private=arguments.private))


def begin_with(trainer: Trainer, start: FaceSep) -> None:
    """Copies the networks of another checkpoint, which fit the run's configuration or grow to it."""
    try:
        trainer.encoder.load_state_dict(grown_encoder(start.encoder, trainer.encoder))
        trainer.decoder.load_state_dict(grown(start.decoder.state_dict(), trainer.decoder))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise ConfigError(
            f"the networks of --init do not fit 'model' of the configuration: leave it out there ({first})"
        ) from error


def find_state(name: str, out: Path) -> Path | None:
    """What ``--resume_from_checkpoint`` means: None for the newest of the run."""
    if name == "latest":
        return None
    return Path(name) if Path(name).is_dir() or not is_repo(name) else fetch_state(name, out / "hub")


if __name__ == "__main__":
    main()
