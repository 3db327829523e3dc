"""Methods compared on the paper's measures: closed cases, resuming, several processes, other renders."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from credited import PHOTOS
from PIL import Image, PngImagePlugin

from facesep import FaceSep
from facesep.data.heads import ShardPhotos
from facesep.errors import ConfigError, DataError, ImageError
from facesep.evaluation import comparison, quality
from facesep.evaluation.comparison import COPY, MEAN, Measures, Methods, compare
from facesep.evaluation.perceptual import Perceptual
from facesep.evaluation.renders import Renders
from facesep.evaluation.runner import Processes, ResultLog
from facesep.images import to_image
from facesep.provenance import write_image

ALONE = Processes()


class ByBlocks:
    """An "embedding" and an "estimator": mean colours of 4 x 4 blocks, and simple functions of them."""

    name = "mean colours"
    column = "IC"

    def embed_all(self, images, points):
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1).double().numpy()

    def estimate(self, images):
        blocks = self.embed_all(images, None)
        names = ("shape", "expression", "texture", "illumination", "rotation", "translation")
        return {name: blocks[:, 8 * k : 8 * k + 8] - 0.5 for k, name in enumerate(names)}


def distance(a, b):
    return (a - b).abs().amax((1, 2, 3))


MEASURES = Measures([Perceptual("LPIPS", "a stand-in", distance)], [ByBlocks()], ByBlocks())


@pytest.fixture(scope="module")
def model(checkpoint) -> FaceSep:
    return FaceSep.from_pretrained(checkpoint)


@pytest.fixture
def photos(shards, model) -> ShardPhotos:
    return ShardPhotos(shards, "val", model.image_size)


def run(model, photos, log=None, processes=ALONE, renders=(), measures=MEASURES, batch=3):
    methods = Methods({"ours": model}, torch.full((3, photos.size, photos.size), 0.5), renders)
    return compare(methods, photos, measures, log or ResultLog(None, "x", {}), processes, batch)


def test_copy_is_perfect_and_numbers_are_the_formulas(model, photos):
    found = run(model, photos)
    for column in ("LPIPS", "L1"):
        assert (found.values[COPY][column] == 0).all()
    assert np.allclose(found.values[COPY]["SSIM"], 1, atol=1e-5)
    for column in ("AED", "ATD", "AID", "APD"):
        assert np.abs(found.values[COPY][column]).max() < 1e-6
    place = found.names.index(photos.name(1))
    photo = photos.read(1)
    grey = np.full((photos.size, photos.size, 3), 0.5)
    target = photo.target.permute(1, 2, 0).double().numpy()
    row = {column: values[place] for column, values in found.values[MEAN].items()}
    assert row["L1"] == pytest.approx(np.abs(grey - target).mean(), abs=1e-6)
    side = photos.size // 4
    crop = np.asarray(photo.image, np.float64) / 255
    blocks = [
        image.reshape(4, side, 4, side, 3).mean((1, 3)).transpose(2, 0, 1).ravel() for image in (crop, grey)
    ]
    cosine = blocks[0] @ blocks[1] / np.linalg.norm(blocks[0]) / np.linalg.norm(blocks[1])
    assert row["IC"] == pytest.approx(cosine, abs=1e-6)
    assert math.isnan(row["APD"])  # the code of a grey picture is zero and has no direction
    head = run(model, photos, measures=Measures(region="head", window="flat")).values[MEAN]
    mask = photo.mask[0].double().numpy()[..., None]
    expected = (np.abs(grey - target) * mask).sum() / mask.sum() / 3
    assert head["L1"][place] == pytest.approx(expected, abs=1e-6)


def test_a_stopped_run_goes_on_and_processes_share(model, photos, tmp_path):
    whole = run(model, photos, batch=1)
    seen = []

    class Counting(ShardPhotos):
        def read(self, place):
            seen.append(place)
            return super().read(place)

    photos.__class__ = Counting
    waiting = Processes(1, 2, "cpu", lambda: None)
    assert run(model, photos, ResultLog(tmp_path, "x", {"a": 1}, 1), waiting, batch=1) is None
    assert seen == [1, 3]
    with open(tmp_path / "x.1.jsonl", "a") as file:
        file.write('["2", {"name"')  # as if it had been stopped while it wrote
    again = run(model, photos, ResultLog(tmp_path, "x", {"a": 1}), batch=1)
    assert seen == [1, 3, 0, 2]
    assert again.names == whole.names and again.people == whole.people
    for method, columns in whole.values.items():
        for column, values in columns.items():
            np.testing.assert_array_equal(again.values[method][column], values)
    with pytest.raises(ConfigError, match="other settings"):
        ResultLog(tmp_path, "x", {"a": 2})


def test_one_size_and_usable_photos(model, photos, shards):
    with pytest.raises(ConfigError, match="renders 32 px and not 48"):
        run(model, ShardPhotos(shards, "val", 48))
    photos.read = lambda place: None
    with pytest.raises(DataError, match="refused them all"):
        run(model, photos)


def write(folder, photos, names=None, change=lambda image: image):
    for photo in photos:
        if names is None or photo.name in names:
            write_image(change(to_image(photo.target)), folder / f"{photo.name}.png", marked=False)


def test_renders_of_another_method(model, photos, tmp_path):
    write(tmp_path, photos)
    renders = Renders("theirs", tmp_path, photos.size)
    assert renders.check([photo.name for photo in photos]) == 4
    found = run(model, photos, renders=[renders])
    assert found.values["theirs"]["L1"].max() < 0.5 / 255 + 1e-6  # rounding to bytes
    before = renders.digest(found.names)
    (tmp_path / f"{found.names[0]}.png").unlink()
    assert renders.digest(found.names) != before
    with pytest.raises(DataError, match="no render of 1 of 4 photos"):
        renders.check(found.names)
    assert renders.check(found.names, partial=True) == 3
    part = run(model, photos, renders=[renders])
    rows = quality.estimates(part, "ours", {"theirs"}, 0)
    assert list(rows) == ["ours", COPY, MEAN, "theirs (3 photos)", "ours (the same 3 photos)"]
    people, same = part.people[1:], part.values["ours"]["L1"][1:]
    means = [np.mean([v for v, p in zip(same, people, strict=True) if p == q]) for q in dict.fromkeys(people)]
    assert rows["ours (the same 3 photos)"]["L1"].value == pytest.approx(np.mean(means))


def test_renders_are_checked(model, photos, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        Renders("theirs", tmp_path / "nowhere", 32)
    small, fine = tmp_path / "small", tmp_path / "fine"
    small.mkdir()
    fine.mkdir()
    name = photos.name(0)
    write_image(Image.new("RGB", (20, 20)), small / f"{name}.png", marked=False)
    with pytest.raises(DataError, match="has 20 x 20 pixels, 32 x 32 are needed"):
        Renders("theirs", small, 32).read(name)
    words = PngImagePlugin.PngInfo()
    words.add_text("Description", "AI-generated: refined by a diffusion model")
    Image.new("RGB", (32, 32)).save(fine / f"{name}.png", pnginfo=words)
    with pytest.raises(DataError, match="refined"):
        Renders("theirs", fine, 32).read(name)
    (fine / f"{name}.png").write_bytes(b"no picture")
    with pytest.raises(ImageError):
        Renders("theirs", fine, 32).read(name)
    with pytest.raises(DataError, match="no render of 4 of 4"):
        Renders("theirs", tmp_path, 32).check([photos.name(k) for k in range(4)], partial=True)


@pytest.mark.slow
def test_misaligned_renders_are_refused(shards, tmp_path):
    if not (PHOTOS.parents[2] / "facesep/assets/faces/finder.safetensors").exists():
        pytest.skip("the bundled detector is missing")
    photos = list(ShardPhotos(shards, "val", 128))
    renders = Renders("theirs", tmp_path, 128)
    for photo in photos:
        write_image(photo.image, tmp_path / f"{photo.name}.png", marked=False)
    renders.check_alignment(photos)
    for photo in photos:
        moved = photo.image.transform(photo.image.size, Image.AFFINE, (1, 0, 12, 0, 1, 0))
        write_image(moved, tmp_path / f"{photo.name}.png", marked=False)
    with pytest.raises(DataError, match=r"not aligned .* off by (8|9|10) %"):
        renders.check_alignment(photos)


def test_rows_and_note_name_every_choice(model, photos):
    found = run(model, photos)
    summary = found.summary()
    rows = quality.rows(summary, "method", ["ours"])
    assert [row["method"] for row in rows] == ["ours", COPY, MEAN]
    assert set(rows[0]) == {"method", "LPIPS", "L1", "SSIM", "IC", "AED", "ATD", "AID", "APD"}
    one = summary["ours"]["L1"]
    assert rows[0]["L1"] == f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f})" and rows[2]["APD"] is None
    text = quality.note(found, MEASURES)
    for words in ("3 people (4 photos)", "whole square", "11 x 11", "a stand-in", "mean colours", "white"):
        assert words in text
    groups = quality.by_group(found, "ours", "set")
    assert list(groups) == ["gsa_pif (2 people, 2 photos)", "london_frl (2 people, 2 photos)"]
    where = [row for row, meta in enumerate(found.metas) if meta["set"] == "gsa_pif"]
    mean = found.values["ours"]["SSIM"][where].mean()
    assert groups["gsa_pif (2 people, 2 photos)"]["SSIM"].value == pytest.approx(mean)
    assert list(quality.by_group(found, "ours", "age")) == ["not labelled (3 people, 4 photos)"]


def test_reconstruct_is_what_a_user_gets(model, photos):
    some = [photos.read(0), photos.read(1)]
    ours = comparison.reconstruct(model, some)
    for photo, picture in zip(some, ours, strict=True):
        expected = model.render(model.encode(photo.aligned), output="tensor")
        torch.testing.assert_close(picture, expected, atol=1e-5, rtol=0)
