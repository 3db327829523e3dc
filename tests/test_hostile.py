"""The corpus of hostile files against the library and the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hostile
import pytest
import torch

from facesep import FaceSep, images
from facesep.cli import main
from facesep.config import preset
from facesep.errors import ImageError
from facesep.images import load_image
from facesep.provenance import verify

REFUSED, ODD = hostile.refused(), hostile.odd()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_refused_in_a_sentence(name):
    for read in (load_image, verify):
        with pytest.raises(ImageError) as caught:
            read(REFUSED[name])
        assert len(str(caught.value)) > 20


@pytest.mark.parametrize("name", ODD)
def test_what_is_a_picture_is_read(name):
    image = load_image(ODD[name])
    assert image.mode == "RGB" and not image.info and image.width * image.height <= images.MAX_PIXELS


@pytest.mark.parametrize("name", ["121-megapixels.png", "900-megapixels.png"])
def test_bombs_are_refused_before_they_are_decoded(name, monkeypatch):
    assert len(REFUSED[name]) < 200_000
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageError, match="megapixels|too large"):
        load_image(REFUSED[name])


def test_the_corpus_costs_little_memory():
    """All files, one after the other, in a process of their own."""
    script = """
import resource
import hostile
from facesep.errors import ImageError
from facesep.images import load_image
files = hostile.refused() | hostile.odd()
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for data in files.values():
    try:
        load_image(data)
    except ImageError:
        pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)
"""
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100  # MB; the smaller bomb alone would take more as RGB


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A current folder with the corpus and a checkpoint."""
    folder = tmp_path_factory.mktemp("hostile")
    torch.manual_seed(0)
    FaceSep(preset("tiny")).save_pretrained(folder / "tiny")
    for name, data in (REFUSED | ODD).items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", [*REFUSED, *ODD])
def test_the_command_says_it_in_one_line(name, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["render", name, "--checkpoint", str(folder / "tiny"), "--output", "result.png"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("facesep: error: ") and err.count("\n") == 1
    assert not (folder / "result.png").exists()


@pytest.mark.parametrize("name", ["../../x.png", "a\0b.png", "x" * 5000, "http://example.org/a.png", "."])
def test_strange_names_are_refused(name, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["render", name, "--checkpoint", str(folder / "tiny")]) == 1
    assert capsys.readouterr().err.startswith("facesep: error: ")
