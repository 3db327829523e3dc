"""The ``facesep`` command.

Exit codes: 0 done, 1 something is wrong with what was given (one line on stderr), 2 wrong usage,
3 (``verify`` only) no mark found, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from facesep.cli.parser import build_parser
from facesep.errors import FaceSepError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code.

    Raises:
        SystemExit: with code 2 for wrong usage, 0 after ``--help``.
    """
    options = build_parser().parse_args(argv)
    try:
        # Commands live apart from the parser, so that --help and wrong usage need not load torch.
        run = getattr(import_module(f"facesep.cli.{options.module}"), options.command)
        return run(options) or 0
    except FaceSepError as error:
        message = " ".join(str(error).split())
        sys.stderr.write(f"facesep: error: {message}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("facesep: interrupted\n")
        return 130
