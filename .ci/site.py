"""The README is the first page of the site, and links to files outside of docs/ are plain words there."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_OUTSIDE = re.compile(r"(?<!!)\[([^]]+)\]\((?:\.\./)+(?!docs/)[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the README as the first page."""
    text = (ROOT / "README.md").read_text()
    text = re.sub(r"\]\((?!https?:|#|docs/)", "](../", text).replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Leaves only the words of links that lead out of the site."""
    return _OUTSIDE.sub(r"\1", markdown)
