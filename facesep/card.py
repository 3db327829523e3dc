"""The model card: a template filled from the files of a checkpoint.

Whatever describes one checkpoint (licence, data, numbers, configuration) comes from its files; what is
not recorded there is called not recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from string import Template

from facesep.errors import ConfigError

TAGS = ("face", "facial-attribute-transfer", "novel-view-synthesis", "nerf", "facesep")
_REFINER = (
    "This checkpoint has a refiner (`refiner/`, a diffusers pipeline): `sep.render(codes, refine=True)` adds "
    "detail. It is invented, costs time, is off by default, and takes no part in the numbers above unless "
    "they say so."
)
_NO_REFINER = "This checkpoint has no refiner."
_NOT_RECORDED = "Not recorded in this checkpoint."


def make_card(
    config: Mapping,
    eval: Mapping | None = None,  # noqa: A002 named after eval.json
    train: Mapping | None = None,
    *,
    repo_id: str | None = None,
    refiner: bool = False,
) -> str:
    """Writes the card of a checkpoint.

    Args:
        config: content of ``config.json``.
        eval: content of ``eval.json``: ``tables``, a list of ``{"title", "command", "note", "rows"}`` with
            rows as mappings of column to value; ``commit``; ``refined`` if refined images were measured.
        train: content of ``train_config.json``. Read here: ``license`` (SPDX name), ``data``, a list of
            ``{"name", "images", "license", "consent", "source"}``, ``command``, ``commit``, ``summary``.
        repo_id: ``user/repo`` on the Hub.
        refiner: whether the checkpoint has one.

    Returns:
        Markdown with YAML front matter.

    Raises:
        ConfigError: if a table has no rows or no command.
    """
    train = train or {}
    template = resources.files("facesep") / "templates" / "model_card.md"
    return Template(template.read_text(encoding="utf-8")).substitute(
        front_matter=front_matter(train),
        title=_line(repo_id.rpartition("/")[2] if repo_id else "facesep checkpoint"),
        repo=_line(repo_id or "user/repo"),
        origin=describe_origin(train),
        data=describe_data(train.get("data")),
        numbers=_numbers(eval or {}),
        refinement=_REFINER if refiner else _NO_REFINER,
        configuration=markdown_table({"setting": k, "value": v} for k, v in _flatten(config)),
    )


def front_matter(about: Mapping, library: str = "facesep", tags: Iterable[str] = TAGS) -> str:
    """YAML; a JSON value is a YAML value, which leaves nothing to escape."""
    values = {
        "license": str(about.get("license") or "other"),
        "library_name": library,
        "pipeline_tag": "image-to-image",
        "tags": list(tags),
    }
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in values.items())


def describe_origin(train: Mapping) -> str:
    """How weights were made, and their licence."""
    lines = [_line(train["summary"])] if train.get("summary") else []
    lines += [f"- {name}: `{_line(train[key])}`" for key, name in _ORIGIN.items() if train.get(key)]
    lines.append(f"- licence of the weights: {_line(train.get('license') or 'not recorded')}")
    return "\n".join(lines)


_ORIGIN = {"imported_from": "imported from", "command": "trained by", "commit": "code at commit"}


def describe_data(data: Iterable[Mapping] | None) -> str:
    """A table of what weights were trained on."""
    rows = [
        {
            "set": _link(one.get("name", "unnamed"), one.get("source")),
            "images": one.get("images", "not recorded"),
            "licence": one.get("license") or "not recorded",
            "consent of the people shown": one.get("consent") or "not recorded",
        }
        for one in data or ()
    ]
    return markdown_table(rows) if rows else _NOT_RECORDED


def _numbers(evaluation: Mapping) -> str:
    tables = evaluation.get("tables") or ()
    if not tables:
        return _NOT_RECORDED
    parts = []
    if evaluation.get("refined"):
        parts.append("**Measured on refined images.**")
    for one in tables:
        title = _line(one.get("title", "Results"))
        if not one.get("rows") or not one.get("command"):
            raise ConfigError(f"the table {title!r} in eval.json needs rows and the command that made them")
        parts.append(f"### {title}\n\n{markdown_table(one['rows'])}\n\n```\n{_code(one['command'])}\n```")
        if one.get("note"):
            parts.append(_line(one["note"]))
    if evaluation.get("commit"):
        parts.append(f"Measured with the code at commit `{_line(evaluation['commit'])}`.")
    return "\n\n".join(parts)


def markdown_table(rows: Iterable[Mapping]) -> str:
    """A Markdown table; columns in the order of their first appearance."""
    rows = list(rows)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    lines = [[_cell(c) for c in columns], ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return _line(text).replace("|", "\\|")


def _line(value: object) -> str:
    """Text on one line without backticks or HTML, so that a value cannot change the page around it."""
    text = " ".join(str(value).split()).replace("`", "'")
    return text.replace("<", "&lt;")


def _code(value: object) -> str:
    return str(value).replace("```", "'''").strip()


def _link(name: object, source: object) -> str:
    good = isinstance(source, str) and source.startswith("https://") and not set(source) & set(" ()<>|\n")
    return f"[{_line(name)}]({source})" if good else _line(name)


def _flatten(value: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """``{"a": {"b": 1}}`` as ``("a.b", 1)``."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flatten(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item
