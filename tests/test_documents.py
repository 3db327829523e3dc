"""What can be extended is described: a table of its page has a row for each thing of the kind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facesep.cli.parser import build_parser
from facesep.demo.api import _ENDPOINTS
from facesep.demo.ui import TABS
from facesep.evaluation.comparison import COLUMNS
from facesep.train.prepare_data import SOURCES

COMMANDS = next(one.choices for one in build_parser()._actions if one.dest == "command")
DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("cli.md", [f"facesep {name}" for name in COMMANDS]),
        ("cli.md", [f"/{function.__name__}" for function, _ in _ENDPOINTS]),
        ("demo.md", [title for title, _ in TABS.values()]),
        ("evaluation.md", COLUMNS),
        ("training.md", SOURCES),
    ],
    ids=["commands", "endpoints", "tabs", "metrics", "datasets"],
)
def test_each_has_a_row_in_its_page(page, names):
    lines = (DOCS / page).read_text().splitlines()
    rows = "\n".join(line.split("|")[1] for line in lines if line.startswith("|"))
    missing = [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", rows)]
    assert names and not missing, f"no table of docs/{page} has a row for {', '.join(missing)}"
