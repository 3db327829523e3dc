"""The table of promises names tests that exist, for every promise."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "responsible-use.md"


def rows() -> dict[str, list[str]]:
    """Tests by promise."""
    found = re.findall(r"^\| (T\d+) \|[^|]*\|([^|]*)\|$", PAGE.read_text(), re.MULTILINE)
    return {name: re.findall(r"`([^`]+)`", tests) for name, tests in found}


def test_every_promise_has_tests():
    assert list(rows()) == [f"T{number}" for number in range(1, 21)]
    assert all(rows().values())


def test_the_named_tests_exist():
    for promise, tests in rows().items():
        for test in tests:
            path, _, name = test.partition("::")
            tree = ast.parse((ROOT / path).read_text())
            functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert name in functions, f"{promise} names {test}"
