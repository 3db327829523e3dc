"""What the training scripts share: arguments that several of them take, and errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from tqdm.auto import tqdm

from facesep.errors import FaceSepError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "config": {"required": True, "help": "YAML file of the run, or the name of a bundled one, such as mini"},
    "set": {"action": "append", "default": [], "metavar": "KEY=VALUE", "help": "override one value"},
    "shards": {"required": True, "help": "folder written by train/prepare_data.py"},
    "labels": {"required": True, "help": "file written by train/analyse.py"},
    "out": {"required": True, "help": "folder for checkpoints, the log and the result"},
    "resume_from_checkpoint": {"metavar": "latest|FOLDER", "help": "continue a run"},
    "private": {"action": "store_true", "default": None, "help": "make a new repository private"},
}


def new_parser(description: str | None, *names: str) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring as it stands.

    Args:
        description: the docstring.
        names: arguments of ``ARGUMENTS`` that it takes.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in names:
        parser.add_argument(f"--{name}", **ARGUMENTS[name])
    return parser


def run_script(
    parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], object], status: int = 1
) -> None:
    """Parses the arguments and does the work; an expected error is one line and the exit status."""
    arguments = parser.parse_args()
    try:
        work(arguments)
    except FaceSepError as error:
        parser.exit(status, f"error: {error}\n")


def resumed(name: str) -> str | None:
    """What ``--resume_from_checkpoint`` names: None for the newest checkpoint of the run."""
    return None if name == "latest" else name


class Progress:
    """A progress bar on the standard error that is told how much is done, and of how much.

    What is done at the first call was done by earlier runs: it does not make the estimate shorter.
    """

    def __init__(self, unit: str = "photos") -> None:
        self.unit, self.bar = unit, None

    def __call__(self, done: int, total: int) -> None:
        """Draws the bar, a few times a second on a terminal and else twice a minute."""
        if self.bar is None:
            every = 0.5 if sys.stderr.isatty() else 30.0
            self.bar = tqdm(total=total, initial=done, unit=f" {self.unit}", mininterval=every)
        self.bar.update(done - self.bar.n)
        if done >= total:
            self.bar.close()
