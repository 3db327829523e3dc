"""What the container promises, as far as it can be read: who runs it, what it keeps, what goes into it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from facesep.cli.parser import build_parser

ROOT = Path(__file__).resolve().parents[1]
LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]


def step(name: str) -> str:
    """The last instruction of that name."""
    return [rest for word, rest in STEPS if word == name][-1]


def test_the_page_runs_without_rights_and_keeps_nothing():
    assert int(step("USER").partition(":")[0]) > 0
    assert "VOLUME" not in [word for word, _ in STEPS]
    assert "GRADIO_TEMP_DIR=/tmp/" in step("ENV") and "HOME=/tmp" in step("ENV")


def test_the_command_is_one_and_the_check_asks_its_port():
    words = yaml.safe_load(step("CMD"))
    options = build_parser().parse_args(words[1:])
    assert (words[0], options.command, options.host) == ("facesep", "demo", "0.0.0.0")
    assert step("EXPOSE") == str(options.port)
    check = step("HEALTHCHECK")
    code = yaml.safe_load(check[check.index("CMD") + 3 :])[2]
    compile(code, "health check", "exec")
    assert f":{options.port}/" in code


def test_what_goes_in_is_what_the_package_is_built_from():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    needed = {"docker/install.sh", "facesep", "pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY.md"}
    assert rules[0] == "*" and needed < kept
    assert all((ROOT / name).exists() for name in kept)


def test_the_steps_are_a_script():
    assert step("CMD") and any("docker/install.sh" in rest for word, rest in STEPS if word == "RUN")
    subprocess.run(["bash", "-n", ROOT / "docker" / "install.sh"], check=True)
