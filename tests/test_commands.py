"""Every command that the documents show is understood by the program that it names."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from facesep.cli.parser import build_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPT = re.compile(r"(?:facesep\.|\S*/)?(train|eval)[./](\w+?)(?:\.py)?")


class ParsedError(Exception):
    """A command line was read without an error."""


def lines_of(block: str) -> Iterator[str]:
    """Commands of a block; an open quote goes on in the next line."""
    held = ""
    for line in block.replace("\\\n", " ").splitlines():
        held += line + "\n"
        try:
            shlex.split(held, comments=True)
        except ValueError:
            continue
        yield from re.split(r"&&| \| ", held)
        held = ""


def commands(page: Path) -> list[list[str]]:
    """Our commands, from their name on: of blocks, and between backticks those with options."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^\s*```(\w*)\n(.*?)^\s*```", text, re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fenced if language in ("", "bash")]
    prose = " ".join(re.sub(r"```.*?```", "", text, flags=re.DOTALL).split())
    lines = [line for block in blocks for line in lines_of(block)]
    started = re.compile(r"(facesep|python|accelerate|torchrun) .*--")
    lines += filter(started.match, re.findall(r"`([^`]+)`", prose))
    found = []
    for line in lines:
        words = shlex.split(re.sub(r"\s(?:[<>]|2>) \S+|\s\$\w+", "", line), comments=True)
        while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
            del words[0]
        if not words or "..." in words or any("|" in word for word in words):  # shortened, or a choice
            continue
        if words[0] == "facesep" and len(words) > 1:
            found.append(words)
        elif words[0] in ("python", "accelerate", "torchrun"):
            place = next((i for i, word in enumerate(words) if SCRIPT.fullmatch(word)), None)
            if place is not None and len(words) > place + 1:
                found.append(words[place:])
    return found


def read(words: list[str], monkeypatch) -> None:
    """Reads a command line as its program does, up to where the work would begin."""
    if words[0] == "facesep":
        build_parser().parse_args(words[1:])
        return
    parse_args = argparse.ArgumentParser.parse_args

    def parsed(self, *arguments):
        parse_args(self, *arguments)
        raise ParsedError

    folder, name = SCRIPT.fullmatch(words[0]).groups()
    module = importlib.import_module(f"facesep.{folder}.{name}")
    with monkeypatch.context() as patch, pytest.raises(ParsedError):
        patch.setattr(argparse.ArgumentParser, "parse_args", parsed)
        patch.setattr(sys, "argv", words)
        module.main()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page, monkeypatch, capsys):
    wrong = []
    for words in commands(page):
        try:
            read(words, monkeypatch)
        except SystemExit as stop:
            if stop.code:
                wrong.append(f"{shlex.join(words)}\n    {capsys.readouterr().err.splitlines()[-1]}")
        except ModuleNotFoundError as error:
            wrong.append(f"{shlex.join(words)}\n    {error}")
    assert not wrong, "\n".join(wrong)


def test_commands_are_found():
    found = [words for page in PAGES for words in commands(page)]
    assert len(found) > 80
    for name in ("facesep", "train/em.py", "eval/all.py", "train/prepare_data.py", "eval/speed.py"):
        assert name in [words[0] for words in found], name
