"""Starts the demo as a Space does, from an empty environment, and says how long it takes.

The files of the repository are copied, requirements.txt is installed into a new virtual environment, and
nothing else; the package itself is not installed. Then ``python app.py`` runs until it serves its page.

    python tests/demo/boot_space.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=60.0, help="seconds until the first page, at most")
    parser.add_argument(
        "--environment", help="a virtual environment to make here and keep; default: none kept"
    )
    args = parser.parse_args()
    limit, kept = args.limit, args.environment
    with tempfile.TemporaryDirectory(prefix="space-") as folder:
        space, temporary = Path(folder) / "app", Path(folder) / "gradio"
        copy(space)
        python = Path(kept or Path(folder) / "env") / "bin" / "python"
        start = time.monotonic()
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        install = [python, "-m", "pip", "install", "-q", "-r", "requirements.txt"]
        subprocess.run(install, cwd=space, env=bare(), check=True)
        print(f"environment: {time.monotonic() - start:.0f} s", flush=True)
        installed = subprocess.run([python, "-m", "pip", "show", "-q", "facesep"], env=bare(), cwd=folder)
        if installed.returncode == 0:
            raise SystemExit("facesep itself is installed in this environment: name another one")
        seconds = boot(python, space, temporary)
    print(f"first page: {seconds:.1f} s on {len(os.sched_getaffinity(0))} cores (at most {limit:g} s)")
    return 0 if seconds <= limit else 1


def copy(space: Path) -> None:
    """Copies the files under version control, as a push to a Space does."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, names.decode().split("\0")):
        target = space / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)


def bare() -> dict[str, str]:
    """The environment without what would let Python find another facesep."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}


def boot(python: Path, space: Path, temporary: Path) -> float:
    """Seconds until the page is served."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(temporary)}
    start = time.monotonic()
    process = subprocess.Popen([python, "app.py"], cwd=space, env=bare() | settings)
    try:
        while process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                    page = answer.read().decode()
            except OSError:
                time.sleep(0.1)
                continue
            if "facesep" not in page:
                raise SystemExit("the page is another one")
            return time.monotonic() - start
        raise SystemExit("app.py ended")
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
