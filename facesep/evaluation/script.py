"""What every evaluation script does around its work: parser, errors, report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from facesep.errors import FaceSepError
from facesep.evaluation.report import markdown, write_report


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring, with its example as it stands."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run_script(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], object],
    errors: tuple[type[Exception], ...] = (FaceSepError,),
) -> int:
    """Parses the arguments and does the work; an expected error becomes one line.

    Returns:
        The exit status.
    """
    args = parser.parse_args()
    try:
        work(args)
    except errors as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def finish(args: argparse.Namespace, checkpoint: str | None, tables: Sequence[Mapping[str, Any]]) -> None:
    """Puts tables on a checkpoint into the report of ``--out`` and prints them."""
    if args.out:
        write_report(args.out, checkpoint, tables)
    print(markdown(tables))  # noqa: T201


def progress(done: int, total: int, what: str = "photos") -> None:
    """Says how far it is."""
    print(f"{done}/{total} {what}", file=sys.stderr, flush=True)  # noqa: T201
