"""The table of representation: references where theory puts them, people as units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from credited import SIZE

from facesep import FaceSep
from facesep.data.heads import ShardPhotos, mean_face
from facesep.evaluation import representation
from facesep.evaluation.representation import COPY, MEAN, OTHER, RENDER


class ByColour:
    """An "embedding" that is simply the mean colour of the nose."""

    name = "colour"
    window = ((0.5, 0.65), (0.42, 0.58))

    def embed(self, image):
        pixels = np.asarray(image.convert("RGB"), float) / 255
        rows, columns = (slice(round(a * image.width), round(b * image.width)) for a, b in self.window)
        return pixels[rows, columns].mean((0, 1))


class Perfect(FaceSep):
    """Renders exactly the targets, in the order in which photos were encoded."""

    targets: dict

    def encode(self, photo, **_):
        return photo.image.tobytes()

    def render(self, codes, **_):
        return self.targets[codes]


@pytest.fixture(scope="module")
def measured(shards, checkpoint):
    model = FaceSep.from_pretrained(checkpoint)
    photos = ShardPhotos(shards, "val", model.image_size)
    distance = torch.nn.Module()
    distance.forward = lambda a, b: (a - b).abs().amax((1, 2, 3))
    return representation.measure(model, photos, mean_face(shards, model.image_size), ByColour(), distance)


def test_references(measured):
    copy, mean = measured.values[COPY], measured.values[MEAN]
    for name in ("L1 head", "L1", "ST-LPIPS"):
        assert (copy[name] == 0).all() and (mean[name] > 0).all()
    np.testing.assert_allclose(copy["SSIM"], 1, atol=1e-5)
    assert np.isinf(copy["PSNR"]).all() and np.isfinite(mean["PSNR"]).all()
    assert copy["nearest"].all() and mean["nearest"].sum() <= 1
    # Only person "a" has two photos, and each stands for the other.
    other = measured.values[OTHER]
    assert set(other) == {"identity distance", "below 0.6", "nearer than 95 %", "nearest"}
    has = [person == "a" for person in measured.people]
    assert (~np.isnan(other["identity distance"])).tolist() == has
    assert len(set(other["identity distance"][has].round(9))) == 1


def test_a_perfect_model_equals_the_copy(shards):
    from facesep.config import preset

    model = Perfect(preset("tiny"))
    photos = ShardPhotos(shards, "val", model.image_size)
    model.targets = {photo.image.tobytes(): photo.target for photo in photos}
    found = representation.measure(model, photos, mean_face(shards, model.image_size), ByColour())
    for name, values in found.values[COPY].items():
        np.testing.assert_allclose(found.values[RENDER][name], values, atol=1e-6)


def test_summary_is_over_people(measured):
    values = measured.values[RENDER]["L1"]
    a = np.mean([v for v, person in zip(values, measured.people, strict=True) if person == "a"])
    rest = [v for v, person in zip(values, measured.people, strict=True) if person != "a"]
    assert measured.summary()[RENDER]["L1"].value == pytest.approx(np.mean([a, *rest]))


def test_rows_are_ready_to_read(measured):
    summary = measured.summary()
    table = representation.rows(summary)
    assert [row["method"] for row in table] == [RENDER, COPY, MEAN, OTHER]
    assert all(list(row) == ["method", *representation.COLUMNS] for row in table)
    found = summary[RENDER]["L1"]
    assert table[0]["L1"] == f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})"
    assert table[1]["PSNR"] == "infinite" and table[1]["nearest"] == "100 %" and table[3]["L1"] is None


def test_groups(measured):
    groups = representation.by_set(measured)
    assert list(groups) == ["gsa_pif (2 people)", "london_frl (2 people)"]
    rows = [i for i, meta in enumerate(measured.metas) if meta["set"] == "gsa_pif"]
    expected = measured.values[RENDER]["SSIM"][rows].mean()
    assert groups["gsa_pif (2 people)"]["SSIM"].value == pytest.approx(expected)
    first = representation.rows(groups, label="set")[0]
    assert (first["set"], first["SSIM"]) == ("gsa_pif (2 people)", f"{expected:.4f}")


def test_without_identity(shards, checkpoint):
    model = FaceSep.from_pretrained(checkpoint)
    photos = ShardPhotos(shards, "val", model.image_size, limit=1)
    seen = []
    found = representation.measure(model, photos, torch.zeros(3, 32, 32), on_photo=seen.append)
    assert set(found.values) == {RENDER, COPY, MEAN} and seen == [1]
    assert "identity distance" not in representation.rows(found.summary())[0]
    assert model.image_size != SIZE  # crops were resized
