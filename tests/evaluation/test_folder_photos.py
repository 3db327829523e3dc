"""A plain folder as evaluation data: masks, labels, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from credited import KNOWN, PHOTOS, crop_and_label, points
from PIL import Image

from facesep.errors import DataError, NoFaceError
from facesep.evaluation.folder import FolderPhotos
from facesep.faces.crop import Crop
from facesep.faces.types import Aligned, Face
from facesep.images import load_image

NAMES = ("london_101", "gsa_turned")


def align(image):
    """By known landmarks; pictures of another size show no face."""
    for name in NAMES:
        if image.size == Image.open(PHOTOS / f"{name}.jpg").size:
            crop = Crop.from_points(points(name))
            face = Face(tuple(KNOWN[f"{name}.jpg"]["box"]), points(name), 1.0, 0.0)
            return Aligned(crop.apply(image, 64), crop, face, ())
    raise NoFaceError("no face was found")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in NAMES:
        photo = load_image(PHOTOS / f"{name}.jpg")
        photo.save(tmp_path / "sub" / f"{name}.jpg", quality=95)
        mask = Image.new("L", photo.size)
        left, top, right, bottom = (round(v) for v in KNOWN[f"{name}.jpg"]["box"])
        mask.paste(255, (left, top, right, bottom))
        mask.save(tmp_path / "sub" / f"{name}.mask.png")
    (tmp_path / "labels.csv").write_text("name,person,set\nsub/london_101,anna,studio\n")
    return tmp_path


def test_photos_with_masks_and_labels(folder):
    photos = FolderPhotos(folder, 64, align)
    found = {photo.name: photo for photo in photos}
    assert set(found) == {"sub/london_101", "sub/gsa_turned"}
    anna = found["sub/london_101"]
    assert (anna.person, anna.meta["set"]) == ("anna", "studio") and found["sub/gsa_turned"].person
    crop = crop_and_label("london_101")[2]
    left, top, right, bottom = KNOWN["london_101.jpg"]["box"]
    corners = crop.to_canonical(np.array([[left, top], [right, bottom]]), 64)
    inside = np.zeros((64, 64), bool)
    (x0, y0), (x1, y1) = corners.round().astype(int)
    inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
    assert ((anna.mask[0].numpy() > 0.5) == inside).mean() > 0.97
    np.testing.assert_allclose(anna.points, crop.to_canonical(points("london_101"), 64))
    assert len(FolderPhotos(folder, 64, align, limit=1)) == 1
    assert photos.origin()["photos"].keys() == found.keys()


def test_what_cannot_be_used(folder, tmp_path):
    Image.new("RGB", (40, 40)).save(folder / "flat.png")
    Image.new("L", (40, 40)).save(folder / "flat.mask.png")
    photos = FolderPhotos(folder, 64, align)
    assert len(photos) == 3 and len(list(photos)) == 2 and photos.refused == {"NoFaceError": 1}
    (folder / "sub" / "london_101.mask.png").unlink()
    with pytest.raises(DataError, match="no head mask"):
        FolderPhotos(folder, 64, align)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no photos"):
        FolderPhotos(empty, 64, align)
