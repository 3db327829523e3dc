"""Sources of photos: trees of the real layouts, built from a few real photos with drawn label maps."""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facesep.data.affectnet import AffectNetSource
from facesep.data.aligned import CelebAMaskSource, FfhqSource
from facesep.data.labels import (
    CelebAMaskMaps,
    GivenMaps,
    ParserMaps,
    accessories,
    choose_maps,
    crop_labels,
    shard_labels,
)
from facesep.data.photos import FolderSource, Photo, overlap
from facesep.data.prepare import prepare
from facesep.data.shards import ShardSet
from facesep.data.source import RejectError, drawn_split, in_two_splits
from facesep.errors import ConfigError, DataError
from facesep.faces.crop import Crop
from facesep.faces.parsing import CLASSES, FILES
from facesep.train.prepare_data import build_source

PHOTOS = Path(__file__).parent / "photos"
KNOWN = json.loads((PHOTOS / "landmarks.json").read_text())
SIDE = 384
A, B, C = "london_101.jpg", "london_099.jpg", "gsa_smiling.jpg"


def class_of(name: str) -> int:
    return CLASSES.index(name)


def draw_map(photo: str, hat: bool = False) -> np.ndarray:
    """``uint8 [384, 384]`` in ``CLASSES``: hair above the face box, skin in it, neck and cloth below."""
    left, top, right, bottom = (int(v) for v in KNOWN[photo]["box"])
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[bottom:, :] = class_of("cloth")
    labels[bottom : bottom + 20, left:right] = class_of("neck")
    labels[top - 50 : bottom - 40, left - 15 : right + 15] = class_of("hair")
    labels[top + 10 : bottom, left:right] = class_of("skin")
    if hat:
        labels[top - 50 : top - 15, left - 15 : right + 15] = class_of("hat")
        labels[bottom + 5 : bottom + 15, left:right] = class_of("necklace")
        labels[bottom - 50 : bottom - 30, left - 15 : left - 5] = class_of("earring")
    return labels


def save_map(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)


def at(sample, photo: str, x: float, y: float) -> int:
    """Label of a crop at a pixel of the photo."""
    left, top, side = sample.meta["crop"]
    factor = sample.label.shape[0] / side
    return int(sample.label[int((y - top) * factor), int((x - left) * factor)])


def check_geometry(sample, photo: str) -> None:
    """The detector's points and the crop agree with landmarks from another tool."""
    left, top, side = sample.meta["crop"]
    crop = Crop(left, top, side)
    size = sample.image.shape[0]
    wanted = crop.to_canonical(np.array(KNOWN[photo]["points"]), size)
    assert np.abs(np.array(sample.meta["points5"]) - wanted).max() < 0.04 * size
    with Image.open(PHOTOS / photo) as file:
        picture = np.asarray(crop.apply(file.convert("RGB"), size), float)
    assert np.abs(picture - sample.image).mean() < 4
    assert sample.meta["yaw"] == pytest.approx(KNOWN[photo]["yaw"], abs=8)


def test_ffhq(tmp_path: Path):
    root, maps = tmp_path / "ffhq", tmp_path / "maps"
    for number, photo in (("00003", A), ("60001", B)):
        folder = root / "images1024x1024" / f"{number[:2]}000"
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(PHOTOS / photo) as picture:
            picture.save(folder / f"{number}.png")
        save_map(maps / f"{number}.png", draw_map(photo))
    (root / "images1024x1024/00000/00004.png").write_bytes(b"\x89PNG cut off")
    (root / "thumbnails128x128").mkdir()
    shutil.copy(PHOTOS / A, root / "thumbnails128x128/00003.png")
    report = prepare(FfhqSource(root, GivenMaps(maps)), tmp_path / "set", 128, small=32)
    assert (report["photos"], report["samples"]) == (3, 2)
    assert report["rejects"] == {"unreadable photo": 1}
    first, second = ShardSet(tmp_path / "set")
    assert [(s.meta["name"], s.meta["split"]) for s in (first, second)] == [
        ("00003", "train"),
        ("60001", "val"),
    ]
    check_geometry(first, A)
    check_geometry(second, B)
    left, top, right, bottom = KNOWN[A]["box"]
    middle = (left + right) / 2
    for y, label in ((top - 40, 2), ((top + bottom) / 2, 1), (bottom + 8, 3)):
        assert at(first, A, middle, y) == label
    assert at(first, A, left - 40, (top + bottom) / 2) == 0
    small = ShardSet(tmp_path / "set" / "small")
    assert small.size == 32 and small.ids.tolist() == [first.id, second.id]
    assert small[0].meta["points5"] == pytest.approx(np.array(first.meta["points5"]) / 4, abs=0.01)
    assert small[0].meta["size"] == 32 and small[0].meta["crop"] == first.meta["crop"]
    shrunk = Image.fromarray(first.image).resize((32, 32), Image.LANCZOS)
    assert np.abs(np.asarray(shrunk, float) - small[0].image).mean() < 4
    # With the table of its authors: splits, names and licences of the photos.
    one = {"category": "validation", "metadata": {"author": "Zoë", "license": "CC BY 2.0"}}
    (root / "ffhq-dataset-v2.json").write_text(json.dumps({"3": one}))
    _, split, *_, known = FfhqSource(root, GivenMaps(maps)).facts("00003")
    assert (split, known) == ("val", {"licence": "CC BY 2.0", "credit": "Zoë"})
    (root / "ffhq-dataset-v2.json").write_text("[1]")
    with pytest.raises(DataError, match="get it again"):
        FfhqSource(root, GivenMaps(maps))


def write_celebamask(root: Path, photos: dict[int, str], hats: tuple[int, ...]) -> None:
    (root / "CelebA-HQ-img").mkdir(parents=True)
    for number, photo in photos.items():
        shutil.copy(PHOTOS / photo, root / f"CelebA-HQ-img/{number}.jpg")
        labels = draw_map(photo, hat=number in hats)[::2, ::2]  # masks have half the side of the photos
        folder = root / f"CelebAMask-HQ-mask-anno/{number // 2000}"
        folder.mkdir(parents=True, exist_ok=True)
        for value, part in enumerate(CelebAMaskMaps.PARTS, start=1):
            inside = labels == value
            if part == "skin":  # parts overlap; those later in the order lie above
                inside |= labels == class_of("hair")
            if inside.any():
                Image.fromarray(inside.astype(np.uint8) * 255).convert("RGB").save(
                    folder / f"{number:05d}_{part}.png"
                )


def test_celebamask_with_its_own_masks(tmp_path: Path):
    root = tmp_path / "celeba"
    write_celebamask(root, {7: A, 2003: B, 2004: C}, hats=(7,))
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text(
        "idx    orig_idx    orig_file\n7  10  000011.jpg\n2003  11  000012.jpg\n2004  12  000013.jpg\n"
    )
    (root / "identity_CelebA.txt").write_text("000011.jpg 5\n000012.jpg 6\n000013.jpg 6\n")
    (root / "list_eval_partition.txt").write_text("000011.jpg 0\n000012.jpg 0\n000013.jpg 2\n")
    maps = CelebAMaskMaps(root / "CelebAMask-HQ-mask-anno")
    report = prepare(CelebAMaskSource(root, maps), tmp_path / "set", 128)
    assert report["rejects"] == {"person is also in another split": 1}  # 2003: person 6 is in test
    first, second = ShardSet(tmp_path / "set")
    assert [first.meta[k] for k in ("name", "split", "person")] == ["7", "train", "celeba:5"]
    assert [second.meta[k] for k in ("name", "split", "person")] == ["2004", "test", "celeba:6"]
    check_geometry(first, A)
    left, top, right, bottom = KNOWN[A]["box"]
    middle = (left + right) / 2
    assert at(first, A, middle, top - 30) == 0  # the hat
    assert at(first, A, left - 10, bottom - 40) == 0  # the earring
    assert at(first, A, middle, bottom + 10) == 3  # the necklace
    assert at(first, A, middle, top - 8) == 2 and at(first, A, middle, top + 60) == 1
    assert set(first.meta["accessories"]) == {"hat", "earring", "necklace"}
    assert "accessories" not in second.meta
    rejecting = CelebAMaskSource(root, maps, reject_accessories=True)
    report = prepare(rejecting, tmp_path / "set", 128)
    assert report["rejects"] == {"person is also in another split": 1, "wears hat": 1}
    with pytest.raises(DataError, match="brings its masks"):
        CelebAMaskMaps(root / "elsewhere")


def test_affectnet_tables_choose_the_face_in_the_box(tmp_path: Path):
    root, maps = tmp_path / "affectnet", tmp_path / "maps"
    images = root / "Manually_Annotated_Images/4"
    images.mkdir(parents=True)
    both = Image.new("RGB", (2 * SIDE, SIDE))
    for column, photo in enumerate((A, C)):
        both.paste(Image.open(PHOTOS / photo), (column * SIDE, 0))
    both.save(images / "two.jpg", quality=95)
    Image.new("RGB", (64, 64)).save(images / "none.png")
    shutil.copy(PHOTOS / B, images / "other.jpg")
    save_map(maps / "4/two.png", np.hstack([draw_map(A), draw_map(C)]))
    left, top, right, bottom = KNOWN[C]["box"]
    columns = "subDirectory_filePath face_x face_y face_width face_height facial_landmarks expression valence"
    box = [left + SIDE, top, right - left, bottom - top]
    rows = [
        ["4/two.jpg", *box, "1;2;3", 1, 0.7, -0.1],
        ["4/none.png", "NULL", "NULL", "NULL", "NULL", "", 10, -2, -2],
        ["4/other.jpg", 0, 0, 60, 60, "", 0, 0, 0],
        ["4/gone.jpg", 0, 0, 60, 60, "", 0, 0, 0],
    ]
    for table, content in (("training.csv", rows[:3]), ("validation.csv", rows[3:])):
        with open(root / table, "w", newline="") as file:
            csv.writer(file).writerows([[*columns.split(), "arousal"], *content])
    report = prepare(AffectNetSource(root, GivenMaps(maps)), tmp_path / "set", 128)
    assert report["rejects"] == {
        "labelled as no face": 1,
        "no face in the given box": 1,
        "unreadable photo": 1,
    }
    (sample,) = ShardSet(tmp_path / "set")
    meta = sample.meta
    assert (meta["expression"], meta["valence"], meta["arousal"]) == ("happy", 0.7, -0.1)
    wanted = np.array(KNOWN[C]["points"]) + (SIDE, 0)
    found = Crop(*meta["crop"]).to_photo(np.array(meta["points5"]), 128)
    assert np.abs(found - wanted).max() < 8
    (root / "training.csv").write_text("subDirectory_filePath,face_x\n")
    with pytest.raises(DataError, match="no column face_width, expression"):
        AffectNetSource(root, GivenMaps(maps))


def test_affectnet_crops_and_annotations(tmp_path: Path):
    for split, number, expression in (("train_set", 12, "3"), ("train_set", 4, "0"), ("val_set", 4, "7")):
        for folder in ("images", "annotations"):
            (tmp_path / split / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / split / f"images/{number}.jpg").touch()
        np.save(tmp_path / split / f"annotations/{number}_exp.npy", np.array(expression))
        np.save(tmp_path / split / f"annotations/{number}_val.npy", np.array("-0.25"))
    source = AffectNetSource(tmp_path, GivenMaps(tmp_path))
    assert source.names() == ["train_set/4", "train_set/12", "val_set/4"]
    _, split, _, box, known = source.facts("train_set/12")
    assert (split, box, known) == ("train", None, {"expression": "surprise", "valence": -0.25})
    assert source.facts("val_set/4")[1] == "val"


def test_a_folder_of_anything(tmp_path: Path):
    root, maps = tmp_path / "photos", tmp_path / "maps"
    (root / "b").mkdir(parents=True)
    for file, photo in (
        ("b/one.jpg", A),
        ("b/two.jpg", B),
        ("copy.jpg", A),
        ("cut.jpg", B),
        ("nomap.jpg", C),
    ):
        shutil.copy(PHOTOS / photo, root / file)
        if file != "nomap.jpg":
            save_map((maps / file).with_suffix(".png"), draw_map(photo))
    (root / "cut.jpg").write_bytes((PHOTOS / B).read_bytes()[:9000])
    (root / "empty.png").touch()
    (root / "page.jpg").write_text("<html>not found</html>")
    (root / "notes.txt").write_text("no picture")
    Image.effect_noise((200, 200), 60).save(root / "wall.png")
    both = Image.new("RGB", (2 * SIDE, SIDE))
    for column in (0, 1):
        both.paste(Image.open(PHOTOS / C), (column * SIDE, 0))
    both.save(root / "pair.png")
    out = tmp_path / "set"
    report = prepare(FolderSource(root, GivenMaps(maps), val_share=0), out, 64)
    assert report["samples"] == 2 and report["photos"] == 9
    assert report["rejects"] == {
        "same file as another photo": 1,
        "unreadable photo": 3,
        "no label map": 1,
        "no face": 1,
        "several faces": 1,
    }
    assert ["copy.jpg", "same file as another photo"] in report["rejected"]
    with Image.open(out / "rejects.jpg") as sheet:
        assert sheet.format == "JPEG" and sheet.height == 5 * (18 + 112 + 4)
    # People stay together, and a person in two splits is taken out of the first.
    (root / "people.csv").write_text(
        "name,person,split\nb/one.jpg,p1,train\nb/two.jpg,p1,val\nnomap.jpg,p2,\n", encoding="utf-8"
    )
    source = FolderSource(root, GivenMaps(maps))
    assert source.excluded() == {"b/one.jpg": "person is also in another split"}
    (root / "people.csv").write_text("name,person,split\nb/one.jpg,p1,valid\n")
    with pytest.raises(DataError, match="unknown split 'valid'"):
        FolderSource(root, GivenMaps(maps))
    with pytest.raises(DataError, match="holds no photos of the layout of ffhq"):
        FfhqSource(root, GivenMaps(maps))


def test_only_the_head_on_white(tmp_path: Path):
    root, maps = tmp_path / "photos", tmp_path / "maps"
    root.mkdir()
    shutil.copy(PHOTOS / A, root / "a.jpg")
    save_map(maps / "a.png", draw_map(A))
    prepare(FolderSource(root, GivenMaps(maps)), tmp_path / "set", 128, white=True)
    (sample,) = ShardSet(tmp_path / "set")
    head = (sample.label == 1) | (sample.label == 2)
    near = Image.fromarray(head.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(19))
    outside = np.asarray(near) == 0  # farther from the edge than a block of JPEG
    assert (sample.image[outside] > 250).all() and sample.image[head].mean() < 230


def test_splits_of_people_are_drawn_once():
    drawn = [drawn_split(f"p{i}", 0.05) for i in range(4000)]
    assert drawn == [drawn_split(f"p{i}", 0.05) for i in range(4000)]
    assert 0.035 < drawn.count("val") / 4000 < 0.065
    assert {drawn_split(f"p{i}", 0.0) for i in range(50)} == {"train"}
    rows = [("a", "p", "train"), ("b", "p", "test"), ("c", "p", "val"), ("d", "", "train"), ("e", "", "val")]
    assert set(in_two_splits(rows)) == {"a", "c"}


def test_every_class_has_its_label():
    labels = np.arange(len(CLASSES), dtype=np.uint8)[None]
    expected = dict.fromkeys(CLASSES, 1)
    expected |= {"background": 0, "hat": 0, "earring": 0, "hair": 2, "neck": 3, "necklace": 3, "cloth": 3}
    assert shard_labels(labels)[0].tolist() == list(expected.values())
    assert set(accessories(labels)) == {"hat", "earring", "necklace"}
    with pytest.raises(RejectError, match="no head"):
        shard_labels(np.full((9, 9), CLASSES.index("cloth"), np.uint8))


def test_given_maps_of_other_classes_and_sizes(tmp_path: Path):
    labels = np.array([[0, 1], [2, 3]], np.uint8).repeat(8, 0).repeat(8, 1)
    save_map(tmp_path / "p.png", labels)
    photo, crop = Image.new("RGB", (32, 32)), Crop(0, 0, 32)
    found = GivenMaps(tmp_path, "facesep").crop("p.jpg", photo, crop, Image.new("RGB", (16, 16)))
    assert shard_labels(found).tolist() == labels.tolist()
    save_map(tmp_path / "q.png", np.where(labels == 2, 17, labels).astype(np.uint8))
    found = GivenMaps(tmp_path, "bisenet").crop("q.jpg", photo, crop, Image.new("RGB", (16, 16)))
    assert (found == CLASSES.index("hair")).sum() == 64
    with pytest.raises(RejectError, match="unknown values"):
        GivenMaps(tmp_path, "facesep").crop("q.jpg", photo, crop, photo)
    with pytest.raises(RejectError, match="differ in shape"):
        crop_labels(labels, Image.new("RGB", (32, 20)), crop, 16)
    (tmp_path / "r.png").write_bytes(b"no picture")
    with pytest.raises(RejectError, match="unreadable label map"):
        GivenMaps(tmp_path).crop("r.jpg", photo, crop, photo)
    with pytest.raises(ConfigError, match="unknown label classes"):
        GivenMaps(tmp_path, "voc")


def test_without_a_parser_the_error_says_how_to_get_one(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"parsing_bisenet\.pth from https://.* --parser bisenet --weights"):
        choose_maps(None, None, None, "celebamask")
    with pytest.raises(ConfigError, match=r"there is no .*parsing_parsenet\.pth: download"):
        choose_maps("parsenet", tmp_path, None, "celebamask")
    with pytest.raises(ConfigError, match="not both"):
        choose_maps("bisenet", tmp_path, tmp_path, "celebamask")


@pytest.mark.slow
def test_a_parser_labels_the_crop(tmp_path: Path):
    pytest.importorskip("facexlib")
    import torch
    from facexlib.parsing.bisenet import BiSeNet

    from facesep.faces.parsing import parse

    torch.manual_seed(0)
    torch.save(BiSeNet(num_class=19).state_dict(), tmp_path / FILES["bisenet"])
    maps = ParserMaps("bisenet", tmp_path)
    image = Image.open(PHOTOS / A).convert("RGB").resize((96, 96))
    found = maps.crop("a.jpg", image, Crop(0, 0, 96), image)
    assert np.array_equal(found, parse(image, "bisenet", tmp_path)) and found.shape == (96, 96)
    (tmp_path / FILES["parsenet"]).write_bytes(b"an error page")
    with pytest.raises(ConfigError, match="does not load"):
        ParserMaps("parsenet", tmp_path)


def test_the_script_builds_each_source(tmp_path: Path):
    write_celebamask(tmp_path, {1: A}, hats=())
    args = argparse.Namespace(
        source="celebamask", folder=str(tmp_path), parser=None, labels=None, label_classes="celebamask"
    )
    vars(args).update(weights=None, accessories="reject", detector="bundled", val_share=0.1)
    source = build_source(args)
    assert source.settings()["reject_accessories"] is True and source.names() == ["1"]
    args.labels = "maps"
    with pytest.raises(ConfigError, match="bring their own label maps"):
        build_source(args)


def test_overlap_of_boxes():
    assert overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert overlap((0, 0, 2, 2), (2, 0, 3, 3)) == 0 and overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert Photo("a", "train").known == {}
