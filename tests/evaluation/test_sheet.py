"""Contact sheets: who may be shown, which picture is where."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from credited import SIZE
from PIL import Image

from facesep import FaceSep
from facesep.data.heads import ShardPhotos
from facesep.errors import ConfigError, DataError
from facesep.evaluation import figures, sheet


@pytest.fixture
def photos(shards):
    return list(ShardPhotos(shards, "val", SIZE))


def with_meta(photo, **meta):
    return dataclasses.replace(photo, meta={**photo.meta, **meta})


def test_only_photos_whose_licence_allows_it(photos):
    assert {p.name for p in sheet.choose(photos, 3)} <= {p.name for p in photos}
    for change in ({"licence": "CC BY 3.0"}, {"set": "uk_mps"}, {"licence": None}):
        hidden = [with_meta(photos[0], **change), *photos[1:]]
        with pytest.raises(DataError, match="may not be shown"):
            sheet.choose(hidden, 0, [photos[0].name])
        assert photos[0].name not in {p.name for p in sheet.choose(hidden, 2)}


def test_one_photo_of_each_person(photos):
    chosen = sheet.choose(photos, 3)
    assert sorted(p.person for p in chosen) == ["a", "b", "c"]
    assert len({p.meta["set"] for p in chosen[:2]}) == 2  # sets take turns
    with pytest.raises(DataError, match="only 3 people"):
        sheet.choose(photos, 4)


def test_names_give_the_order(photos):
    names = ["gsa_turned", "london_101"]
    assert [p.name for p in sheet.choose(photos, 8, names)] == names


def test_strips_show_what_their_labels_say(shards, checkpoint):
    sep = FaceSep.from_pretrained(checkpoint)
    chosen = sheet.choose(ShardPhotos(shards, "val", sep.image_size), 2)
    first, last = figures.strips(sep, chosen)
    a, b = (sep.encode(photo.aligned) for photo in chosen)
    expected = {
        "photo": chosen[0].image,
        "donor": chosen[1].image,
        "render": sep.render(a),
        "donor's hair": sep.render(a.replace(hair=b.hair)),
        "donor's expression": sep.render(a.replace(expression=b.expression)),
        "yaw -35": sep.render(a, yaw=-35),
        "yaw 0": sep.render(a, yaw=0),
    }
    for label, picture in expected.items():
        assert first[label].tobytes() == picture.tobytes(), label
    assert len(first) == 3 + 5 + 3
    assert last["donor"].tobytes() == chosen[0].image.tobytes()
    with pytest.raises(ConfigError, match="two photos"):
        figures.strips(sep, chosen[:1])


def test_layout():
    colours = ["red", "lime", "blue"]
    rows = [{str(i): Image.new("RGB", (9, 9), c) for i, c in enumerate(colours)}] * 2
    drawn = sheet.contact_sheet(rows, "credit", cell=40)
    step = 40 + sheet.GAP
    assert drawn.size == (3 * step + sheet.GAP, 2 * step + 2 * sheet.LABEL)
    for row in range(2):
        for column, colour in enumerate(colours):
            at = (sheet.GAP + column * step + 20, sheet.LABEL + row * step + 20)
            assert drawn.getpixel(at) == Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    pixels = np.asarray(drawn.convert("L"))
    assert pixels[: sheet.LABEL].min() < 128 and pixels[-sheet.LABEL :].min() < 128  # labels and credit
    assert np.asarray(sheet.contact_sheet(rows, cell=40)).shape[0] == drawn.height - sheet.LABEL


def test_credits_name_every_source_once(photos):
    line = sheet.credits_of(photos)
    assert line.count("credit of london_frl, CC BY 4.0") == 1 and "credit of gsa_pif, CC0 1.0" in line


def test_a_long_label_takes_more_lines():
    picture = Image.new("RGB", (32, 32), "red")
    short, long = (
        sheet.contact_sheet([{label: picture, "photo": picture}])
        for label in ("render", "per-image fitting of our decoder")
    )
    assert long.width == short.width and long.height == short.height + sheet.LABEL
    above = np.asarray(long.convert("L"))[: 2 * sheet.LABEL, : sheet.GAP + 128]
    assert (above[: sheet.LABEL] < 100).any() and (above[sheet.LABEL :] < 100).any()
    assert np.asarray(long)[2 * sheet.LABEL + 2, sheet.GAP + 2].tolist() == [255, 0, 0]
