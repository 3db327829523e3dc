"""Reports: how a number can be got again, and that the card can show it."""

from __future__ import annotations

import argparse
import json
import shutil

import numpy as np
import pytest
import torch

from facesep.card import make_card
from facesep.checksums import sha256
from facesep.config import preset
from facesep.errors import ConfigError
from facesep.evaluation import options, report
from facesep.evaluation.statistics import Estimate
from facesep.model import FaceSep


def one_table(title: str, value: float = 0.5) -> dict:
    return report.table(
        title, [{"method": "ours", "L1": value}], "A note.", {"L1": Estimate(value, 0, np.inf)}
    )


def test_tables_gather_in_one_file(checkpoint, tmp_path):
    path = tmp_path / "eval.json"
    report.write_report(path, str(checkpoint), [one_table("A", 0.1), one_table("B", 0.2)])
    report.write_report(path, str(checkpoint), [one_table("B", 0.3)])
    found = report.read_report(path)
    assert [(t["title"], t["rows"][0]["L1"]) for t in found["tables"]] == [("A", 0.1), ("B", 0.3)]
    sums = found["checkpoint"]["sha256"]
    assert sums == {
        f"{part}/model.safetensors": sha256(checkpoint / part / "model.safetensors")
        for part in ("encoder", "decoder")
    }
    table = found["tables"][0]
    assert table["results"] == {"L1": {"value": 0.1, "low": 0, "high": None}}
    assert {"python", "facesep", "torch", "numpy"} <= set(table["versions"])
    assert "CPU cores" in table["hardware"] and not found["refined"]
    assert not list(tmp_path.glob("*.part"))


def test_numbers_of_other_weights_do_not_mix(checkpoint, tmp_path):
    path = tmp_path / "eval.json"
    report.write_report(path, str(checkpoint), [one_table("A")])
    torch.manual_seed(9)
    FaceSep(preset("tiny")).save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="other weights"):
        report.write_report(path, str(tmp_path / "other"), [one_table("A")])
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a report"):
        report.write_report(tmp_path / "notes.json", str(checkpoint), [one_table("A")])


def test_the_card_shows_it(checkpoint, tmp_path):
    path = tmp_path / "eval.json"
    report.write_report(path, str(checkpoint), [one_table("Table X", 0.123)])
    card = make_card({"format": 1}, json.loads(path.read_text()))
    for text in (
        "### Table X",
        "| ours | 0.123 |",
        "A note.",
        report.read_report(path)["tables"][0]["command"],
    ):
        assert text in card


def test_a_commit_is_claimed_only_for_all_tables(checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "eval.json"
    monkeypatch.setattr(report, "commit", lambda: "abc")
    report.write_report(path, str(checkpoint), [one_table("A")])
    assert report.read_report(path)["commit"] == "abc"
    monkeypatch.setattr(report, "commit", lambda: "def")
    found = report.write_report(path, str(checkpoint), [one_table("B")])
    assert "commit" not in found and [t["commit"] for t in found["tables"]] == ["abc", "def"]


def test_the_name_of_a_checkpoint(checkpoint, tmp_path):
    assert report.describe(str(checkpoint))["name"] == "tiny"
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    assert report.describe(str(copy))["sha256"] == report.describe(str(checkpoint))["sha256"]


def test_a_report_that_cannot_be_written_is_told_before_the_work(tmp_path):
    notes = tmp_path / "notes.json"
    notes.write_text('{"mine": 1}')
    for path, words in ((notes, "not a report"), (tmp_path / "missing" / "eval.json", "does not exist")):
        with pytest.raises(argparse.ArgumentTypeError, match=words):
            options.report_file(str(path))
    assert options.report_file(str(tmp_path / "eval.json")) == str(tmp_path / "eval.json")
