"""The names and signatures that users build on change only on purpose.

After a change that is meant: ``python tests/test_public_surface.py > tests/public_surface.txt``, and a
line under "Unreleased" in the changelog.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

SNAPSHOT = Path(__file__).with_name("public_surface.txt")
MODULES = ("facesep", "facesep.detail", "facesep.faces", "facesep.provenance", "facesep.refine")


def signature(function: object) -> str:
    """Parameters with their defaults, without annotations and without self."""
    parameters = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in inspect.signature(function).parameters.values()
        if p.name not in ("self", "cls")
    ]
    return str(inspect.Signature(parameters))


def describe(name: str, value: object) -> Iterator[str]:
    """One line for a function or constant, and one for each public member of a class."""
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"{name} is a {bases or 'class'}"
        fields = getattr(value, "__dataclass_fields__", {})
        if fields:
            yield f"{name} has fields {', '.join(fields)}"
        if issubclass(value, BaseException):
            return
        members = {}
        for kind in reversed(value.__mro__):
            if kind.__module__.startswith("facesep"):
                members |= vars(kind)
        for member, item in sorted(members.items()):
            item = item.__func__ if isinstance(item, classmethod | staticmethod) else item
            if member.startswith("_") or member in fields:
                continue
            if inspect.isfunction(item):
                yield f"{name}.{member}{signature(item)}"
            else:
                yield f"{name}.{member}"
    elif callable(value):
        yield f"{name}{signature(value)}"
    elif isinstance(value, int | float | tuple | dict):
        yield f"{name} = {value}"
    else:
        yield name


def module_surface(module: str) -> Iterator[str]:
    """Public names of a module: what it lists, or else what it defines."""
    found = import_module(module)
    own = [name for name, value in vars(found).items() if getattr(value, "__module__", "") == module]
    names = getattr(found, "__all__", None) or [name for name in own if not name.startswith("_")]
    for name in sorted(set(names) - {"__version__"}):
        yield from describe(f"{module}.{name}", getattr(found, name))


def command_surface() -> Iterator[str]:
    """Commands with their arguments and choices."""
    from facesep.cli import build_parser

    (commands,) = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    for name, parser in commands.choices.items():
        words = []
        for action in parser._actions:
            words.append("/".join(action.option_strings) or action.dest.upper())
            if action.choices:
                words[-1] += f"={{{','.join(map(str, action.choices))}}}"
        yield f"$ facesep {name}: {' '.join(words)}"


def page_surface() -> Iterator[str]:
    """Named endpoints of the demo page with their parameters."""
    from facesep.config import preset
    from facesep.demo.ui import build_page
    from facesep.model import FaceSep

    endpoints = build_page(FaceSep(preset("tiny"))).get_api_info()["named_endpoints"]
    for name, endpoint in endpoints.items():
        words = [
            f"{p['parameter_name']}={p['parameter_default']}"
            if p["parameter_has_default"]
            else p["parameter_name"]
            for p in endpoint["parameters"]
        ]
        yield f"POST {name}: {' '.join(words)}"


def surface() -> list[str]:
    """Everything, one line each."""
    lines = [line for module in MODULES for line in module_surface(module)]
    return [*lines, *command_surface(), *page_surface()]


@pytest.fixture(scope="module")
def now() -> list[str]:
    pytest.importorskip("gradio")
    pytest.importorskip("diffusers")
    return surface()


def test_public_surface_is_as_recorded(now):
    recorded = SNAPSHOT.read_text().splitlines()
    gone = [line for line in recorded if line not in now]
    new = [line for line in now if line not in recorded]
    assert not gone and not new, f"gone: {gone}; new: {new}"


def test_surface_holds_what_the_readme_uses(now):
    lines = "\n".join(now)
    for part in (
        "FaceSep.from_pretrained",
        "FaceSep.transfer",
        "Codes.save",
        "provenance.write_image",
        "facesep orbit",
    ):
        assert part in lines


if __name__ == "__main__":
    print(*surface(), sep="\n")
