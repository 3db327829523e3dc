"""The ``facesep`` command.

Exit codes: 0 done, 1 something is wrong with what was given (one line on stderr), 2 wrong usage,
3 (``verify`` only) no mark found, 129 hung up, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from importlib import import_module

from facesep.cli.console import delivered, hold_streams, say, tell
from facesep.cli.parser import build_parser
from facesep.cli.stopping import Stopped, orderly
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
    hold_streams()
    as_json = False
    try:
        try:
            options = build_parser().parse_args(argv)
        except SystemExit:
            with delivered("the help"):
                pass
            raise
        as_json = getattr(options, "json", False) and getattr(options, "output", None) != "-"
        # Commands live apart from the parser, so that --help and wrong usage need not load torch.
        run = getattr(import_module(f"facesep.cli.{options.module}"), options.command)
        with nullcontext() if options.command == "demo" else orderly():  # the page's server has its own way
            return run(options) or 0
    except FaceSepError as error:
        message = " ".join(str(error).split())
        tell(f"facesep: error: {message}\n")
        if as_json:
            with suppress(FaceSepError):
                say(json.dumps({"error": message}))
        return 1
    except KeyboardInterrupt:
        tell("facesep: interrupted\n")
        return 130
    except Stopped as stop:
        tell("facesep: stopped\n")
        return 128 + stop.signal
