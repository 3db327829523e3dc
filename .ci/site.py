"""Pages of the site that lie outside of docs/: the README comes first.

Links to other files outside of docs/ are plain words.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_OUTSIDE = re.compile(r"(?<!!)\[([^]]+)\]\((?:\.\./)+(?!docs/)[^)]*\)")


PAGES = {
    "index.md": "README.md",
    "model-card.md": "facesep/assets/mini/README.md",
    "changelog.md": "CHANGELOG.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not in docs/."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        text = re.sub(r"\]\((?!https?:|#|docs/)", "](../", text).replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Leaves only the words of links that lead out of the site."""
    return _OUTSIDE.sub(r"\1", markdown)
