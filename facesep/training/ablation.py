"""Does alternation help, and what does each loss do? Small runs with switches, measured after every round.

Table 5 of the paper leaves out L_dis, L_cyc and the hair code. Table 6 follows the rounds. Here both come
from the same small runs over several seeds, so that a trend can be told from chance.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from facesep.codes import ATTRIBUTES, Codes
from facesep.config import to_dict
from facesep.data.shards import write_file
from facesep.training.config import TrainConfig
from facesep.training.dataset import TrainingSet
from facesep.training.em import Trainer
from facesep.training.losses import codes_loss, pixel_loss, swap_targets
from facesep.training.runlog import RunLog

VARIANTS = ("full", "without L_dis", "without L_cyc", "without hair code")
"""The rows of Table 5."""


def switched(config: TrainConfig, variant: str, seed: int) -> TrainConfig:
    """The configuration of a variant.

    Args:
        config: the full run.
        variant: one of ``VARIANTS``.
        seed: of everything random.
    """
    model = config.model_config()
    if variant == "without L_dis":
        config = _without(config, "swap")
    elif variant == "without L_cyc":
        config = _without(config, "cycle")
    elif variant == "without hair code":
        config = _without(config, "hair")
        model = dataclasses.replace(model, decoder=dataclasses.replace(model.decoder, hair=False))
    elif variant != "full":
        raise ValueError(f"unknown variant {variant!r}")
    return dataclasses.replace(config, model=model, seed=seed)


def _without(config: TrainConfig, term: str) -> TrainConfig:
    """The run without a loss term, also in phases that have a weight of their own for it."""
    schedule = tuple(
        dataclasses.replace(phase, weights={**phase.weights, term: 0.0}) if phase.weights.get(term) else phase
        for phase in config.schedule
    )
    weights = dataclasses.replace(config.weights, **{term: 0.0})
    return dataclasses.replace(config, weights=weights, schedule=schedule)


@torch.no_grad()
def measure(trainer: Trainer, data: TrainingSet, limit: int = 256) -> dict[str, float]:
    """Errors of the present networks on photos as they are (no mirror images).

    Args:
        trainer: holds the networks.
        data: photos.
        limit: at most so many.

    Returns:
        ``l1``: L_pix of D(E(I)). ``cycle``: mean over attributes of 1 - cos between the codes of a photo
        and of its render. ``swap``: the same between codes with one attribute of another photo, each
        attribute in turn, and the codes of their render.
    """
    phase, names = trainer.activate(-1), trainer.networks.attributes
    even = dict.fromkeys(ATTRIBUTES, 0.0) | dict.fromkeys(names, 1 / len(names))
    totals = {"l1": 0.0, "cycle": 0.0, "swap": 0.0}
    rows = torch.arange(0, len(data), data.per_photo)[:limit]
    for part in rows.split(32):
        batch = data.batch(part, phase.image_size)
        codes = trainer.networks.encode(batch)
        image = trainer.decoder(codes).image
        totals["l1"] += len(part) * float(pixel_loss(image, batch.target, batch.mask))

        def error(wanted: Codes) -> float:
            again = trainer.encoder(trainer.decoder(wanted).image)
            return float(sum(codes_loss(again, wanted, even, phase.distance).values()))

        totals["cycle"] += len(part) * error(codes)
        swaps = [error(swap_targets(codes, name)[0]) for name in names]
        totals["swap"] += len(part) * statistics.mean(swaps)
    return {name: total / len(rows) for name, total in totals.items()}


def run(
    config: TrainConfig,
    train: TrainingSet,
    held_out: TrainingSet,
    out: Path,
    seeds: Sequence[int],
    variants: Sequence[str] = VARIANTS,
) -> list[dict[str, Any]]:
    """Trains every variant with every seed and measures after the initialisation and every round.

    Args:
        config: the full run; its schedule begins with phase D and phase E.
        train: photos to learn from.
        held_out: photos to measure on as well.
        out: folder of the runs; those that are finished there are not trained again.
        seeds: seeds.
        variants: which variants.

    Returns:
        One record per measurement: variant, seed, round, set, and the numbers of ``measure``. Round 1
        is the initialisation.
    """
    return [
        record
        for variant in variants
        for seed in seeds
        for record in _one(switched(config, variant, seed), train, held_out, out, variant, seed)
    ]


def _one(
    config: TrainConfig, train: TrainingSet, held_out: TrainingSet, out: Path, variant: str, seed: int
) -> list[dict[str, Any]]:
    """Trains and measures one variant with one seed, unless that was done before."""
    folder = out / f"{variant.replace(' ', '_')}-{seed}"
    done = folder / "measures.json"
    same = {"config": to_dict(config), "photos": len(train), "held_out": len(held_out)}
    if done.exists() and (found := json.loads(done.read_text(encoding="utf-8")))["of"] == same:
        return found["records"]
    trainer = Trainer(config, train, folder, checkpoints_total_limit=1)
    trainer.log = RunLog(folder, trainer.processes, bar=True)
    records: list[dict[str, Any]] = []

    def after_round(_: Path, number: int) -> None:
        for name, data in (("train", train), ("held out", held_out)):
            head = {"variant": variant, "seed": seed, "round": number, "set": name}
            records.append(head | measure(trainer, data))

    trainer.publish = after_round
    trainer.begin()
    trainer.run()
    write_file(done, json.dumps({"of": same, "records": records}).encode())
    return records


def summary(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of every variant, set and round."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["variant"], record["set"], record["round"]), []).append(record)
    rows = []
    for (variant, name, number), members in groups.items():
        row = {"variant": variant, "set": name, "round": number, "seeds": len(members)}
        for key in ("l1", "cycle", "swap"):
            values = [member[key] for member in members]
            row[key] = statistics.mean(values)
            row[f"{key}_sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The summary in Markdown; lower is better everywhere."""
    lines = ["| variant | set | round | L1 | cycle | swap |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = [f"{row[key]:.4f} ± {row[f'{key}_sd']:.4f}" for key in ("l1", "cycle", "swap")]
        lines.append(f"| {row['variant']} | {row['set']} | {row['round']} | {' | '.join(cells)} |")
    return "\n".join(lines)
