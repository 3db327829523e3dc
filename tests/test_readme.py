"""What the README shows works as it stands, with the bundled checkpoint and photos."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from facesep import FaceSep
from facesep.provenance import verify
from facesep.video import video_info, write_video

README = Path(__file__).resolve().parents[1] / "README.md"
pytestmark = pytest.mark.slow


def block(heading: str, language: str) -> str:
    """The first code block of a section."""
    text = README.read_text()
    section = text[text.index(f"\n## {heading}\n") :]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)[1]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with photos under the names that the README uses."""
    photos = resources.files("facesep") / "assets" / "examples"
    shutil.copy(photos / "london_016.jpg", tmp_path / "anna.jpg")
    shutil.copy(photos / "london_036.jpg", tmp_path / "ben.jpg")
    (tmp_path / "photos").mkdir()
    for name in ("016", "099"):
        shutil.copy(photos / f"london_{name}.jpg", tmp_path / "photos")
    frames = [Image.open(photos / f"london_{name}.jpg").resize((320, 320)) for name in ("036", "099")]
    write_video(frames, tmp_path / "talking.mp4", fps=2)
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


def check(folder: Path) -> None:
    """A picture in its photo and a video of the head, sharper than the model's render, both marked."""
    with Image.open(folder / "face.png") as picture, Image.open(folder / "anna.jpg") as photo:
        assert picture.size == photo.size
        assert picture.convert("L").getextrema()[0] < 100  # not just white
    video = video_info(folder / "orbit.mp4")
    assert video.width == video.height > FaceSep.from_pretrained().image_size
    assert verify(folder / "face.png").made_by_facesep and verify(folder / "orbit.mp4").made_by_facesep


def test_example(folder):
    code = block("In five lines", "python")
    assert len([line for line in code.splitlines() if line]) == 5
    run([sys.executable, "-c", code], folder)
    check(folder)


def test_commands(folder):
    for line in block("Command line", "bash").splitlines():
        assert line.startswith("facesep ")
        command = line.replace("facesep", f"{shlex.quote(sys.executable)} -m facesep.cli", 1)
        run(["bash", "-c", command], folder)
    check(folder)
    assert len(list((folder / "out").iterdir())) == 2
    with Image.open(folder / "head.png") as head:
        assert head.mode == "RGBA"
