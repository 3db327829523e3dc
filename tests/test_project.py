"""The project's own files agree with each other: packages, versions, licences, documents and CI."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import facesep

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements(*groups: str) -> dict[str, Requirement]:
    """Packages of the base (``""``) and of extras, with extras of extras followed, by canonical name."""
    found: dict[str, Requirement] = {}
    for group in groups:
        for line in EXTRAS[group] if group else PROJECT["dependencies"]:
            one = Requirement(line)
            if one.name == PROJECT["name"]:
                found |= requirements(*one.extras)
            else:
                found[canonicalize_name(one.name)] = one
    return found


def project_files() -> list[Path]:
    """Files of the project, without what git ignores."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    files = [ROOT / name for name in names if name]
    return [path for path in files if path.is_file()]


def text_files(binary: bool = False) -> dict[str, str]:
    """Text files of the project as ``{relative path: content}``; others too, if asked, without content."""
    texts = {}
    for path in project_files():
        data, name = path.read_bytes(), path.relative_to(ROOT).as_posix()
        if b"\0" not in data[:4096]:
            texts[name] = data.decode("utf-8")
        elif binary:
            texts[name] = ""
    assert "README.md" in texts and "facesep/codes.py" in texts
    return texts


def copy_project(target: Path) -> None:
    """Copies the files of the project, to build them elsewhere."""
    for path in project_files():
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def front_matter() -> dict:
    """The header that a Space reads from the README."""
    _, header, _ = (ROOT / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(header)


def pins() -> dict[str, Requirement]:
    """requirements.txt by canonical name."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one for one in found}


# -- packages ---------------------------------------------------------------------------------------


def test_requirements_are_the_pins_of_what_the_demo_needs():
    pinned, needed = pins(), requirements("", "demo")
    assert set(pinned) == set(needed)
    for name, pin in pinned.items():
        (exact,) = pin.specifier
        assert exact.operator == "==" and "*" not in exact.version, pin
        assert needed[name].specifier.contains(exact.version), f"{pin} is outside {needed[name]}"


def test_front_matter_fits_the_project():
    header = front_matter()
    (gradio,) = pins()["gradio"].specifier
    assert (header["sdk"], header["sdk_version"]) == ("gradio", gradio.version)
    assert (ROOT / header["app_file"]).is_file()
    assert header["license"] == PROJECT["license"].lower()
    assert len(header["short_description"]) <= 60  # the Hub refuses a longer one
    assert f"Programming Language :: Python :: {header['python_version']}" in PROJECT["classifiers"]


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of what the code imports anywhere, except for type checkers."""
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return set()
    names = set()
    if isinstance(tree, ast.Import):
        names = {alias.name.partition(".")[0] for alias in tree.names}
    elif isinstance(tree, ast.ImportFrom) and not tree.level:
        names = {tree.module.partition(".")[0]}
    return names.union(*map(imported, ast.iter_child_nodes(tree)))


def test_every_imported_package_is_declared():
    import_names = {
        "PIL": "pillow",
        "skimage": "scikit-image",
        "yaml": "pyyaml",
        "dlib": "dlib-bin",
        "c2pa": "c2pa-python",
        "gradio_client": "gradio",
        "face_recognition_models": "face-recognition-models",
    }
    declared = set(requirements("", *EXTRAS))
    own = {"facesep", "__future__", "spaces"}  # spaces is there where it is of use, and only there
    used = {}
    for path, text in text_files().items():
        if path.endswith(".py") and not path.startswith("tests/"):
            used |= dict.fromkeys(imported(ast.parse(text)), path)
    foreign = {name: path for name, path in used.items() if name not in own | sys.stdlib_module_names}
    assert {"torch", "PIL", "numpy"} <= set(foreign)
    missing = {n: p for n, p in foreign.items() if canonicalize_name(import_names.get(n, n)) not in declared}
    assert not missing, f"imported but not in pyproject.toml: {missing}"


def test_third_party_lists_exactly_the_declared_packages():
    text = (ROOT / "THIRD_PARTY.md").read_text()
    table = text[text.index("## Packages") : text.index("## Methods")]
    rows = re.findall(r"^\| ([\w.-]+) \| (.+?) \| .+ \|$", table, re.MULTILINE)
    listed = {canonicalize_name(name): where for name, where in rows if name != "package"}
    assert len(listed) == len(rows) - 1
    assert set(listed) == set(requirements("", *EXTRAS))
    for extra in EXTRAS:
        own = {canonicalize_name(Requirement(line).name) for line in EXTRAS[extra]} - {PROJECT["name"]}
        for name in own - set(requirements("")):
            assert f"`{extra}`" in listed[name], f"{name} is needed for `{extra}`"


def test_extra_all_holds_all_that_users_need():
    left_out = {"openvino", "cluster"}  # only on request: docs/speed.md says why; for who has many machines
    users = set(EXTRAS) - {"test", "docs", "all"}
    assert requirements("all").keys() == requirements(*(users - left_out)).keys()
    assert not {"openvino", "distributed"} & requirements("all").keys()


# -- version ----------------------------------------------------------------------------------------


def test_version_has_one_source():
    assert PROJECT["dynamic"] == ["version"] and "version" not in PROJECT
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", facesep.__version__)
    literal = re.compile(r"version\w*\s*[:=]\s*[\"']\d+\.\d+")
    holders = [
        p
        for p, text in text_files().items()
        if p.startswith("facesep/") and p.endswith(".py") and literal.search(text)
    ]
    assert holders == ["facesep/__init__.py"]
    assert f"## {facesep.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_version_works_without_an_installation(tmp_path):
    """As on a Space, where the package lies beside app.py."""
    shutil.copytree(
        ROOT / "facesep", tmp_path / "facesep", ignore=shutil.ignore_patterns("__pycache__", "assets")
    )
    code = "import facesep, importlib.metadata as m; print(facesep.__version__, facesep.__file__)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    version, file = run.stdout.split(maxsplit=1)
    assert version == facesep.__version__ and file.startswith(str(tmp_path))


def test_installed_version_agrees():
    assert importlib.metadata.version("facesep") == facesep.__version__


@pytest.mark.parametrize("folder", ["train", "eval"])
def test_scripts_are_the_commands_of_the_package(folder):
    """Each in one place, with the same name in both."""
    commands = {path.stem for path in (ROOT / "facesep" / folder).glob("*.py")} - {"__init__"}
    scripts = {path.stem: path.read_text() for path in (ROOT / folder).rglob("*.py")}
    assert commands == set(scripts) and len(commands) > 10
    for name, text in scripts.items():
        module = f"facesep.{folder}.{name}"
        assert text == (
            f'"""``python -m {module}`` as a script."""\n\nfrom {module} import main\n\n'
            'if __name__ == "__main__":\n    raise SystemExit(main())\n'
        )


# -- documents --------------------------------------------------------------------------------------


def test_links_between_documents_lead_somewhere():
    links = 0
    for path, text in text_files().items():
        if path.endswith(".md"):
            prose = re.sub(r"```[\s\S]*?```", "", text)
            for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", prose):
                if not re.match(r"[a-z]+:", target):
                    links += 1
                    assert ((ROOT / path).parent / target).exists(), f"{path} links to {target}"
    assert links > 5


def test_install_commands_name_extras_that_exist():
    named = set()
    for path, text in text_files().items():
        if path.endswith((".md", ".py")) or path == ".ci/run":
            named |= {e for group in re.findall(r"\bfacesep\[([\w,]+)\]|\.\[([\w,]+)\]", text) for e in group}
    named = {one for group in named for one in group.split(",") if one}
    assert {"demo", "test"} <= named <= set(EXTRAS)


def test_ci_runs_the_test_command_of_the_readme():  # and has what builds the documentation
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    text, readme = script.read_text(), (ROOT / "README.md").read_text()
    section = readme[readme.index("## Run the tests") :]
    command = re.search(r"```bash\n(.*?)\n```", section, re.DOTALL)[1]
    _, install, test = (part.strip() for part in command.split("&&"))
    install = install.split("bin/pip ")[1]
    test = test.split("bin/python ")[1]
    assert install.replace("install", "install -q").replace("[test]", "[test,docs]") in text
    assert text.rstrip().endswith(f'exec "$venv/bin/python" {test}')


def test_files_speak_of_the_project_alone():
    """No paths of one machine, and no addresses of package registries."""
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org", "deb.debian" + ".org")
    personal = re.compile(r"(?<![\w.:/])/(?:home|root|Users|work|opt|mnt)/\w")
    for path, text in text_files().items():
        assert not [host for host in hosts if host in text], path
        found = personal.search(text)
        assert not found, f"{path} names a path of one machine: {text[found.start() : found.start() + 40]!r}"
        assert "../" + "shared" not in text, path
