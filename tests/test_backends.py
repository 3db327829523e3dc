"""Other runtimes, in a process of their own: their threads and libraries stay out of the other tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).with_name("backend_checks.py")


@pytest.mark.slow
def test_other_programs_compute_what_torch_computes():
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "pytest", "-o", "addopts=", str(CHECKS)],
        capture_output=True,
        text=True,
        cwd=CHECKS.parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
