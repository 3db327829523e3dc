"""The photos of an evaluation: masks, targets, other windows, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from credited import PHOTOS, SIZE, crop_and_label, points
from PIL import Image

from facesep.data.heads import ShardPhotos, mean_face
from facesep.errors import DataError, NoFaceError
from facesep.faces.crop import Crop
from facesep.faces.types import Aligned, Face


def by_name(photos: ShardPhotos) -> dict:
    return {photo.name: photo for photo in photos}


def test_crops_of_the_shards(shards):
    photos = by_name(ShardPhotos(shards, "val", SIZE))
    assert set(photos) == {"london_101", "london_099", "gsa_smiling", "gsa_turned"}
    one = photos["gsa_smiling"]
    assert (one.person, one.meta["expression"], one.image.size) == ("a", "smiling", (SIZE, SIZE))
    label = np.asarray(crop_and_label("gsa_smiling")[1])
    np.testing.assert_array_equal(one.mask[0].numpy(), label == 1)
    inside = one.mask[0] == 1
    pixels = torch.from_numpy(np.asarray(one.image).copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(one.target[:, inside], pixels[:, inside])
    assert (one.target[:, ~inside] == 1).all()


def test_another_size(shards):
    large, small = (by_name(ShardPhotos(shards, "val", s))["london_101"] for s in (SIZE, SIZE // 2))
    assert small.target.shape == (3, SIZE // 2, SIZE // 2)
    halved = large.mask.unflatten(1, (-1, 2)).unflatten(3, (-1, 2)).mean((2, 4))
    assert (small.mask - halved).abs().max() < 0.01


def test_originals_by_another_window(shards):
    """A window moved and enlarged by the aligner moves the head mask the same way."""

    def align(image: Image.Image) -> Aligned:
        name = next(n for n in ("london_101", "london_099") if _same(image, n))
        known = points(name)
        around = Crop.from_points(known)
        crop = Crop(around.left - 20, around.top + 5, around.side * 1.2)
        return Aligned(crop.apply(image, SIZE), crop, Face((0, 0, 1, 1), known, 1.0, 0.0), ())

    def refusing(image: Image.Image) -> Aligned:
        if not any(_same(image, n) for n in ("london_101", "london_099")):
            raise NoFaceError("no face")
        return align(image)

    photos = ShardPhotos(shards, "val", SIZE, PHOTOS, refusing)
    found = by_name(photos)
    assert set(found) == {"london_101", "london_099"} and photos.refused == {"NoFaceError": 2}
    for name, photo in found.items():
        around = Crop.from_points(points(name))
        moved = Crop(around.left - 20, around.top + 5, around.side * 1.2)
        image, label, _ = crop_and_label(name, moved)
        assert np.abs(np.asarray(photo.image, int) - np.asarray(image, int)).max() == 0
        wrong = (photo.mask[0].numpy() == 1) != (np.asarray(label) == 1)
        assert wrong.mean() < 0.01  # labels were rounded to pixels twice


def _same(image: Image.Image, name: str) -> bool:
    other = Image.open(PHOTOS / f"{name}.jpg").convert("RGB")
    return image.size == other.size and image.tobytes() == other.tobytes()


def test_mean_face_is_the_mean(shards):
    targets = torch.stack([photo.target for photo in ShardPhotos(shards, "train", SIZE)])
    torch.testing.assert_close(mean_face(shards, SIZE), targets.mean(0))


def test_limits_are_spread(shards):
    assert len(list(ShardPhotos(shards, "val", SIZE, limit=2))) == 2
    assert len(ShardPhotos(shards, "val", SIZE, limit=9)) == 4


def test_what_is_missing_is_named(shards, tmp_path):
    with pytest.raises(DataError, match="'test'"):
        ShardPhotos(shards, "test", SIZE)
    with pytest.raises(DataError, match="london|gsa"):
        next(iter(ShardPhotos(shards, "val", SIZE, tmp_path, lambda image: None)))
