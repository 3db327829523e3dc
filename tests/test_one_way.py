"""A photo gives the same codes whichever way it comes in, also by heads that place crops by points."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesep import Codes, FaceSep, driving
from facesep.cli import main
from facesep.config import EncoderConfig, ModelConfig, preset
from facesep.demo import photos as page_photos
from facesep.evaluation import figures
from facesep.evaluation.encoded import encode_all
from facesep.evaluation.fitting import mean_codes
from facesep.evaluation.folder import MASK, FolderPhotos
from facesep.images import load_image

PHOTO = Path(__file__).parent / "data" / "photos" / "gsa_turned.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkpoint with the heads of the paper, narrow and with random weights."""
    torch.manual_seed(0)
    encoder = EncoderConfig(kind="paper", recognition="ir18", width=4)
    folder = tmp_path_factory.mktemp("paper") / "model"
    FaceSep(ModelConfig(encoder, preset("tiny").decoder)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sep(folder) -> FaceSep:
    return FaceSep.from_pretrained(folder)


@pytest.fixture
def photos(sep, tmp_path) -> FolderPhotos:
    """The photo as an evaluation reads it."""
    data = tmp_path / "photos"
    data.mkdir()
    shutil.copy(PHOTO, data)
    Image.new("L", load_image(PHOTO).size, 255).save(data / f"{PHOTO.stem}{MASK}")
    return FolderPhotos(data, sep.image_size, sep.align)


def command_line(sep: FaceSep, folder: Path, out: Path) -> Codes:
    path = str(out / "face.safetensors")
    assert main(["encode", str(PHOTO), "--checkpoint", str(folder), "--include-identity", "-o", path]) == 0
    return Codes.load(path)


def aligned(sep: FaceSep, folder: Path, out: Path) -> Codes:
    return sep.encode([sep.align(PHOTO)])[0]


def page(sep: FaceSep, folder: Path, out: Path) -> Codes:
    return page_photos.read(sep, PHOTO).codes


def frame(sep: FaceSep, folder: Path, out: Path) -> Codes:
    return driving.look(sep, load_image(PHOTO), None)[1]


@pytest.mark.parametrize("way", [aligned, command_line, page, frame])
def test_a_photo_has_one_way_in(sep, folder, tmp_path, way: Callable[[FaceSep, Path, Path], Codes]):
    same(way(sep, folder, tmp_path), sep.encode(PHOTO))


def test_evaluation_measures_what_a_user_gets(sep, photos):
    wanted = sep.encode(PHOTO)
    same(encode_all(sep, photos).codes[0], wanted)
    same(mean_codes(sep, photos), wanted)
    render = figures.strips(sep, [photos.read(0)] * 2)[0]["render"]
    assert np.array_equal(np.asarray(render), np.asarray(sep.render(wanted)))


def same(a: Codes, b: Codes) -> None:
    torch.testing.assert_close(a.vector(), b.vector(), atol=1e-4, rtol=0)
