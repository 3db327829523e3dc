"""From the checkpoint of a training run to a release."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from facesep.errors import ConfigError
from facesep.model import FaceSep


def release(
    source: str | Path,
    folder: str | Path,
    about: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    refiner: str | Path | None = None,
) -> FaceSep:
    """Copies a checkpoint with what its card needs.

    Args:
        source: the checkpoint of a run.
        folder: where the release goes.
        about: licence, data and words for ``train_config.json``; see ``facesep.card.make_card``.
        evaluation: content of ``eval.json``.
        dtype: float type to store, otherwise float32.
        refiner: a refiner to put beside the model, stored in the same type; by default the one it has.

    Returns:
        The model as it loads from the release.
    """
    model = FaceSep.from_pretrained(source)
    if dtype is not None:
        model.to(dtype=dtype)
    model.extras["train_config"] = {**model.extras.get("train_config", {}), **about}
    if refiner is not None:
        from facesep.refine import FaceRefiner

        model.refiner = FaceRefiner.from_pretrained(refiner)
        for network in (model.refiner.unet, model.refiner.estimator):
            if network is not None and dtype is not None:
                torch.nn.Module.to(network, dtype)  # diffusers' own warns of half precision on a CPU
    if evaluation is not None:
        model.extras["eval"] = dict(evaluation)
    model.save_pretrained(folder)
    return FaceSep.from_pretrained(folder)


def read_record(path: str | Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ConfigError: if it is missing or not an object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a JSON object")
    return value
