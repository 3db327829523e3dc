"""The card holds what the files say, parses as the Hub parses it, and claims nothing else."""

from __future__ import annotations

import re

import pytest
from huggingface_hub import ModelCard

from facesep.card import make_card
from facesep.errors import ConfigError

CONFIG = {
    "format": 1,
    "facesep_version": "0.1.0",
    "encoder": {"kind": "mini"},
    "decoder": {"image_size": 256},
}
TRAIN = {
    "license": "apache-2.0",
    "summary": "Trained on open portraits.",
    "command": "python train/em.py --config mini.json",
    "commit": "abc123",
    "data": [
        {
            "name": "Portraits A",
            "images": 1200,
            "license": "CC BY 4.0",
            "consent": "given for research",
            "source": "https://example.org/a",
        },
        {"name": "Portraits B", "images": 900, "license": "CC0"},
    ],
}
EVAL = {
    "commit": "def456",
    "tables": [
        {
            "title": "Table 2",
            "command": "python eval/representation.py photos",
            "note": "Attributes estimated by the open analysis.",
            "rows": [{"method": "paper", "LPIPS": 0.1}, {"method": "this", "LPIPS": 0.123456, "SSIM": 0.9}],
        }
    ],
}


def rows(card: str, heading: str) -> list[list[str]]:
    """Cells of the first table under a heading."""
    section = card.split(f"{heading}\n", 1)[1]
    lines = re.match(r"[^|]*((?:\|.*\|\n?)+)", section)[1].strip().splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_front_matter():
    data = ModelCard(make_card(CONFIG, EVAL, TRAIN, repo_id="ada/mini")).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "facesep", "image-to-image")
    assert "face" in data.tags


def test_values_come_from_the_files():
    card = make_card(CONFIG, EVAL, TRAIN, repo_id="ada/mini")
    assert card.count("\n# mini\n") == 1 and 'from_pretrained("ada/mini")' in card
    assert rows(card, "## Training data") == [
        ["set", "images", "licence", "consent of the people shown"],
        ["---"] * 4,
        ["[Portraits A](https://example.org/a)", "1200", "CC BY 4.0", "given for research"],
        ["Portraits B", "900", "CC0", "not recorded"],
    ]
    assert rows(card, "### Table 2") == [
        ["method", "LPIPS", "SSIM"],
        ["---"] * 3,
        ["paper", "0.1", "–"],
        ["this", "0.1235", "0.9"],
    ]
    assert "```\npython eval/representation.py photos\n```" in card
    for text in ("abc123", "def456", "Trained on open portraits.", "open analysis", "train/em.py"):
        assert text in card
    assert ["decoder.image_size", "256"] in rows(card, "## Configuration")


def test_what_is_missing_is_said():
    card = make_card(CONFIG)
    assert ModelCard(card).data.license == "other"
    assert card.count("Not recorded in this checkpoint.") == 2
    assert not re.search(r"\$\w|\{\w*\}|None", card)
    assert "apache" not in card.lower() and "portraits" not in card.lower()


def test_refined_numbers_are_called_so():
    assert "refined images" in make_card(CONFIG, EVAL | {"refined": True})
    assert "refined images" not in make_card(CONFIG, EVAL)


def test_numbers_need_their_command():
    for table in ({"title": "T", "rows": [{"a": 1}]}, {"title": "T", "command": "x", "rows": []}):
        with pytest.raises(ConfigError, match="'T'"):
            make_card(CONFIG, {"tables": [table]})


def test_values_cannot_change_the_page():
    evil = 'x: y\n---\n# "Title" | <script>alert(1)</script> `$data` ${x}'
    train = {"license": evil, "summary": evil, "data": [{"name": evil, "source": "javascript:alert(1)"}]}
    card = make_card({"a": evil}, None, train)
    assert ModelCard(card).data.license == evil
    body = card.split("---\n", 2)[2]
    assert "<script" not in body and "javascript" not in body and '\n# "Title' not in body
    assert len(rows(card, "## Training data")) == 3 and len(rows(card, "## Configuration")) == 3
