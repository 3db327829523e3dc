"""The table of what the watermark survives: results in, shares out; what is destroyed is not counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesep.evaluation import robustness
from facesep.evaluation.robustness import CHANGES, as_result, head_side
from facesep.images import load_image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "facesep" / "assets" / "examples"


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    """A photo with a label map: the head is a box of 200 x 240 pixels."""
    folder = tmp_path_factory.mktemp("photos")
    image = load_image(sorted(EXAMPLES.glob("*.jpg"))[0]).resize((512, 512))
    labels = np.zeros((512, 512), np.uint8)
    labels[100:340, 150:350] = 1
    labels[340:, 100:400] = 3
    image.save(folder / "anna.jpg", quality=95)
    Image.fromarray(labels).save(folder / "anna.label.png")
    return folder / "anna.jpg"


def test_forms(photo):
    page = Image.new("RGB", (300, 200), "blue")
    assert head_side(photo, load_image(photo)) == pytest.approx(1.25 * 240, abs=4)
    white, clear, kept = (as_result(photo, form, 256, page) for form in ("white", "transparent", "photo"))
    assert white.image.size == clear.image.size == kept.image.size == (256, 256)
    outside = np.asarray(white.head) == 0
    assert 0.4 < outside.mean() < 0.6 and (np.asarray(white.image)[outside] == 255).all()
    assert clear.image.mode == "RGBA" and np.array_equal(clear.image.getchannel("A"), clear.head)
    changed = (np.asarray(kept.marked()) != np.asarray(kept.image)).any(-1)
    assert changed.any() and not changed[np.asarray(kept.head) == 0].any()
    assert np.array_equal(np.asarray(clear.marked())[outside], np.asarray(white.image)[outside])


def test_what_destroys_the_mark_counts_as_lost(photo, monkeypatch):
    changes = {
        "none": lambda image, _: image,
        "nothing left": lambda image, _: image.resize((8, 8)).resize(image.size),
    }
    monkeypatch.setattr(robustness, "CHANGES", changes)
    monkeypatch.setattr(robustness, "FRAMES", 4)
    found = robustness.survival([as_result(photo, "white", 384, Image.new("RGB", (9, 9)))])
    assert found.count == 1
    assert found.found == {"none": 1.0, "nothing left": 0.0, robustness.VIDEO: pytest.approx(0.5, abs=0.5)}
    assert 38 < found.psnr[0] == found.psnr[1] < 48 and 0.95 < found.ssim[0] < 1


def test_changes_change_what_they_say(photo):
    result = as_result(photo, "white", 256, Image.new("RGB", (300, 200), "blue"))
    image = result.marked()
    after = {name: change(image, result) for name, change in CHANGES.items()}
    assert {after[name].size for name in ("none", "JPEG 50", "mirrored", "turned by 5 degrees")} == {
        (256, 256)
    }
    assert after["half size"].size == (128, 128) and after["double size"].size == (512, 512)
    assert after["cut to 60 % of the side"].size == (154, 154)
    assert after["cut to the head"].size == pytest.approx((171, 205), abs=4)
    for name, share in (("in a photo of 800 x 600", 256), ("there at 40 % of its height", 480)):
        blue = np.asarray(after[name], int)[..., 2] - np.asarray(after[name], int)[..., 0] > 200
        assert (~blue).sum() == pytest.approx(share**2, rel=0.1)
    mirrored = np.asarray(after["mirrored"], float)[:, ::-1]
    assert np.abs(mirrored - np.asarray(image, float)).mean() < 3


@pytest.mark.slow
def test_the_script_prints_a_table(photo):
    command = [sys.executable, ROOT / "eval" / "watermark.py", "--photos", photo.parent, "--limit", "1"]
    options = ["--sizes", "384", "--forms", "white", "photo"]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    rows = [line for line in run.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == len(CHANGES) + 5 and rows[0] == "| change | white, 384 px | photo, 384 px |"
    assert "| none | 100 % | 100 % |" in rows and "| results | 1 | 1 |" in rows
    large = subprocess.run([*command, "--sizes", "4000"], capture_output=True, text=True)
    assert large.returncode == 2 and "no photo is large enough" in large.stderr
