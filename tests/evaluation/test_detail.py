"""Numbers of photo detail on a few photos: what is known beforehand comes out."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
from credited import PHOTOS
from test_scripts import MASKS

from facesep import FaceSep
from facesep.evaluation import detail
from facesep.evaluation.mouth import FivePoints
from facesep.evaluation.statistics import Estimate

PEOPLE = {"london_101": ("a", "neutral"), "gsa_smiling": ("a", "smiling"), "london_099": ("b", "")}


@pytest.fixture(scope="module")
def model() -> FaceSep:
    return FaceSep.from_pretrained()


@pytest.fixture(scope="module")
def sitters(model, tmp_path_factory) -> list[detail.Sitter]:
    folder = tmp_path_factory.mktemp("portraits")
    np.savez(folder / "landmarks.npz", names=np.array([]), landmarks=np.zeros((0, 478, 3)))
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("name", "split", "person", "expression"))
        for name, (person, expression) in PEOPLE.items():
            (folder / f"{name}.jpg").write_bytes((PHOTOS / f"{name}.jpg").read_bytes())
            table.writerow((name, "val", person, expression))
        table.writerow(("left/out", "val", "c", ""))
    return detail.read_sitters(model, folder, "val", None, ["left"])


def test_sitters_are_those_of_the_table(sitters):
    assert [one.name for one in sitters] == list(PEOPLE)
    assert [(one.person, one.expression) for one in sitters] == list(PEOPLE.values())


def test_no_edit_changes_no_pixel(model, sitters):
    assert detail.exactness(model, sitters) == 0


@pytest.mark.slow
def test_mouths_move_towards_the_donor(model, sitters):
    found = detail.mouths(model, sitters, FivePoints())
    for form in ("detail", "plain"):
        assert [one.direction for one in found[form]] == ["neutral to smiling", "smiling to neutral", "both"]
    both = found["detail"][-1]
    assert (both.transfers, both.found, both.towards.value) == (2, 1.0, 1.0)


@pytest.mark.slow
def test_hair_comes_from_the_donor(model, sitters, tmp_path):
    (tmp_path / "masks.py").write_text(MASKS)  # whatever is dark is hair
    found = detail.hair(model, sitters, f"{sys.executable} {tmp_path / 'masks.py'}")
    assert found["detail"]["all"]["transfers"] == len(sitters)
    # Without an edit the result is the photo's head.
    assert (
        found["detail"]["all"]["source's own render"].value
        > found["plain"]["all"]["source's own render"].value
    )


def test_the_table_says_what_was_measured():
    known = Estimate(0.25, 0.2, 0.3)
    found = {
        "exactness": 0,
        "likeness": {
            "yaw +20": {f"{a} {b}": known for a in ("detail", "plain") for b in ("distance", "nearest")}
        },
        "colours": {"texture": None},
        "pose": None,
    }
    assert detail.rows(found) == [
        {
            "measure": "no edit, background kept: largest difference of 255",
            "photo detail": "0",
            "plain render": "",
        },
        {
            "measure": "dlib, yaw +20",
            "photo detail": "0.250 (0.200 to 0.300)",
            "plain render": "0.250 (0.200 to 0.300)",
        },
        {
            "measure": "nearest, yaw +20",
            "photo detail": "25 % (20 % to 30 %)",
            "plain render": "25 % (20 % to 30 %)",
        },
        {"measure": "skin colour, texture", "photo detail": "", "plain render": ""},
    ]
