"""The table of what the watermark survives: photos in, shares out; what is destroyed is not counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from facesep.evaluation import robustness
from facesep.images import load_image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "facesep" / "assets" / "examples"


def test_what_destroys_the_mark_counts_as_lost(monkeypatch):
    changes = {
        "none": (lambda image: image, False),
        "nothing left": (lambda image: image.resize((8, 8)).resize(image.size), False),
    }
    monkeypatch.setattr(robustness, "CHANGES", changes)
    monkeypatch.setattr(robustness, "FRAMES", 6)
    photos = [load_image(path) for path in sorted(EXAMPLES.glob("*.jpg"))[:2]]
    lowest, shares = robustness.survival(photos, 256)
    assert shares == {"none": 1.0, "nothing left": 0.0, robustness.VIDEO: pytest.approx(1.0, abs=0.5)}
    assert 40 < lowest < 42


def test_changes_change_what_they_say():
    photo = load_image(sorted(EXAMPLES.glob("*.jpg"))[0]).resize((256, 256))
    sizes = {name: change(photo).size[0] for name, (change, _) in robustness.CHANGES.items()}
    assert (sizes["half size"], sizes["double size"], sizes["JPEG 50"]) == (128, 512, 256)
    assert [sizes[f"cut to {part} % of the side"] for part in (95, 80, 60)] == [243, 205, 154]
    assert robustness.psnr(photo, photo) > 100
    assert robustness.psnr(photo, Image.eval(photo, lambda value: min(255, value + 1))) == pytest.approx(
        48.13, abs=0.3
    )


@pytest.mark.slow
def test_the_script_prints_a_table():
    command = [sys.executable, ROOT / "eval" / "watermark.py", "--photos", EXAMPLES, "--limit", "1"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line for line in run.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == len(robustness.CHANGES) + 3
    assert "| none | 100 % | 100 % |" in rows
