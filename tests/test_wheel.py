"""The built wheel, in an empty environment away from the checkout: it holds everything, and it works."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest
from test_project import copy_project, text_files

import facesep
from facesep.provenance import verify

pytestmark = pytest.mark.slow
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    copy_project(folder / "source")
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "source"]
    subprocess.run([*PIP, *build], check=True, capture_output=True)
    (built,) = folder.glob("facesep-*.whl")
    return built


class Environment:
    """A new virtual environment with the wheel; other packages are those of this environment."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        env = folder / "env"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True)
        self.folder, self.programs = folder, env / ("Scripts" if os.name == "nt" else "bin")
        places = {"base": str(env), "platbase": str(env)}
        self.packages = Path(sysconfig.get_path("purelib", "venv", places))
        self.variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        install = ["--python", self.programs / "python", "install", "--no-deps", "--no-index"]
        subprocess.run([*PIP, *install, wheel], env=self.variables, check=True, capture_output=True)
        # What .pth files name is searched, but its own .pth files are not read: no editable install counts.
        others = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        (self.packages / "others.pth").write_text("\n".join(others) + "\n")

    def run(self, *command: object) -> str:
        program, *arguments = map(str, command)
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheel) -> Environment:
    return Environment(tmp_path_factory.mktemp("empty"), wheel)


def test_wheel_holds_the_code_and_the_bundled_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        notes = {name.rpartition("/")[2] for name in archive.namelist() if "/licenses/" in name}
    assert inside == {path for path in text_files(binary=True) if path.startswith("facesep/")}
    assert notes == {"LICENSE", "THIRD_PARTY.md"}
    assert wheel.stat().st_size < 70e6


def test_the_command_works(environment):
    said = environment.run("facesep", "info")
    assert f"facesep {facesep.__version__} in {environment.packages}" in said
    photos = environment.packages / "facesep" / "assets" / "examples"
    first, second = sorted(photos.glob("*.jpg"))[:2]
    environment.run("facesep", "transfer", first, second, "-a", "expression", "--output", "face.png")
    assert verify(environment.folder / "face.png").made_by_facesep


def test_training_and_evaluation_work(environment):
    everything = (
        "import importlib, pkgutil, facesep.eval, facesep.train\n"
        "from facesep.training.config import load_config\n"
        "for package in (facesep.eval, facesep.train):\n"
        "    for one in pkgutil.iter_modules(package.__path__):\n"
        "        importlib.import_module(f'{package.__name__}.{one.name}').main\n"
        "print(load_config('tiny').schedule[0].kind)"
    )
    assert environment.run("python", "-c", everything)
    speed = ["--preset", "tiny", "--forms", "float32", "--repeats", "1", "--frames", "0", "--no-memory"]
    assert "| float32" in environment.run("python", "-m", "facesep.eval.speed", *speed)


def test_the_demo_serves_its_page(environment):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [environment.programs / "facesep", "demo", "--port", str(port)]
    process = subprocess.Popen(command, cwd=environment.folder, env=environment.variables)
    try:
        end = time.monotonic() + 120
        while True:
            assert process.poll() is None and time.monotonic() < end
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                    assert b"facesep" in answer.read()
                break
            except urllib.error.URLError:
                time.sleep(0.2)
    finally:
        process.terminate()
        process.wait(60)
