"""The model that the options name, with its refiner."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch

from facesep.cli.console import Progress
from facesep.cli.files import Reader
from facesep.errors import ConfigError
from facesep.fitting import check_steps
from facesep.model import FaceSep


def load(options: Namespace) -> Reader:
    """Loads the model of the options."""
    check_steps(options.fit)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    sep = FaceSep.from_pretrained(options.checkpoint, device=device)
    refined = refinement(options) is not False
    if refined:
        if options.refiner is not None:
            from facesep.refine import FaceRefiner

            sep.refiner = FaceRefiner.from_pretrained(options.refiner)
            sep.refiner.set_progress_bar_config(disable=True)
        sep.refiner  # noqa: B018 without one it raises here, before any work is done
    detail = vars(options).get("detail", False) and not refined
    progress = Progress(options.quiet)
    return Reader(sep, progress, options.aligned, options.fit, options.upright, detail, options.stdin)


def refinement(options: Namespace) -> bool | dict[str, Any]:
    """What ``render(refine=...)`` takes.

    Raises:
        ConfigError: for options of a refinement that is not asked for.
    """
    given = vars(options)
    chosen = {
        name: given[f"refine_{name}"] for name in ("steps", "seed") if given.get(f"refine_{name}") is not None
    }
    if given.get("refine") or given.get("refiner") is not None:
        return chosen or True
    if chosen:
        option = f"--refine-{next(iter(chosen))}"
        raise ConfigError(f"{option} does nothing without --refine or --refiner: add one of them")
    return False
