"""``export``."""

from __future__ import annotations

import json
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import facesep
from facesep.backends import require
from facesep.cli.console import say, say_json
from facesep.detail.render import check_size
from facesep.errors import ConfigError
from facesep.model import FaceSep


def export(options: Namespace) -> None:
    """The networks of a checkpoint as graphs."""
    require(options.format)
    folder = Path(options.output)
    if folder.exists():
        raise ConfigError(f"{folder} exists: choose another output")
    if not folder.parent.is_dir():
        raise ConfigError(f"the folder {folder.parent} does not exist: create it first")
    if options.detail is not None:
        check_size(options.detail)
    sep = FaceSep.from_pretrained(options.checkpoint)
    from facesep.backends.parts import parts
    from facesep.detail.graph import detail_part

    writer = import_module(f"facesep.backends.{options.format}")
    folder.mkdir()
    listed = []
    chosen = parts(sep)
    if options.detail is not None:
        chosen.append(detail_part(sep, options.detail))
    for part in chosen:
        files = writer.write(part, folder)
        listed.append(
            {
                "name": part.name,
                "files": [file.name for file in files],
                "inputs": {name: list(value.shape) for name, value in part.inputs.items()},
                "outputs": list(part.outputs),
            }
        )
    about = {"facesep_version": facesep.__version__, "format": options.format, "parts": listed}
    (folder / "export.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    if options.json:
        say_json({"output": str(folder), **about})
    else:
        say(str(folder))
