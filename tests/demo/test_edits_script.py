"""The script that measures edits prints its numbers, or what is wrong, in a line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def run(*options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "eval" / "edits.py", *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_measures():
    said = run("--preset", "tiny", "--edits", "2")
    assert re.match(r"32 px: 0\.\d+ s for an edit", said.stdout), said.stderr


def test_a_missing_checkpoint_is_said():
    said = run("--checkpoint", "nowhere")
    assert said.returncode == 2 and said.stderr.startswith("error: ") and "Traceback" not in said.stderr
