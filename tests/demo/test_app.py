"""app.py as it is started: on a Space, where the package lies beside it, and with the command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from workers import free_port

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkpoint(sep, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    sep.save_pretrained(folder)
    return folder


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    return os.environ | {"GRADIO_TEMP_DIR": str(tmp_path / "gradio")} | variables


@pytest.fixture
def space(tmp_path) -> Path:
    """The repository as a Space has it: files, not an installed package."""
    folder = tmp_path / "space"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "facesep", folder / "facesep", ignore=ignore)
    shutil.copy(ROOT / "app.py", folder)
    return folder


def serves(command: list[str], port: int, folder: Path, env: dict[str, str]) -> str:
    """Starts a server, fetches the page, interrupts the server, and returns the page."""
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline, page = time.monotonic() + 240, ""
    try:
        while not page and process.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                    page = answer.read().decode()
            except OSError:
                time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
    assert page, output
    assert "Traceback" not in output
    return page


def test_app_serves_from_the_files_beside_it(space, checkpoint, tmp_path):
    # The copy says who it is in its title, so that an installed facesep is not taken for it.
    layout = space / "facesep" / "demo" / "ui.py"
    layout.write_text(layout.read_text().replace('title="facesep"', 'title="the copy"'))
    port = free_port()
    env = environment(tmp_path, FACESEP_CHECKPOINT=str(checkpoint), GRADIO_SERVER_PORT=str(port))
    assert "the copy" in serves([sys.executable, "app.py"], port, space, env)


def test_app_says_in_one_line_what_is_wrong(space, tmp_path):
    env = environment(tmp_path, FACESEP_CHECKPOINT="nowhere")
    run = subprocess.run([sys.executable, "app.py"], cwd=space, env=env, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("facesep: error: 'nowhere' is neither") and run.stderr.count("\n") == 1


def test_the_command_serves_the_page(checkpoint, tmp_path):
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "facesep.cli",
        "demo",
        "--checkpoint",
        str(checkpoint),
        "--port",
        str(port),
    ]
    assert '"title":"facesep"' in serves(command, port, tmp_path, environment(tmp_path))
