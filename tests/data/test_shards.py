"""Shards: round trip, restart, damage, stable ids."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesep.data.portraits import PortraitSource, five_points
from facesep.data.prepare import prepare
from facesep.data.shards import ShardSet, stable_id, write_shard
from facesep.data.source import Prepared, RejectError, Source
from facesep.errors import ConfigError, DataError
from facesep.faces.crop import Crop

ROOT = Path(__file__).resolve().parents[2]
SIZE = 32


class Drawings(Source):
    """A source of drawn pictures. Every fifth cannot be used."""

    name = "drawings"

    def __init__(self, count: int = 23) -> None:
        self.count = count

    def names(self) -> list[str]:
        return [f"picture {i}" for i in range(self.count)]

    def prepare(self, name: str, size: int) -> Prepared:
        index = int(name.split()[1])
        if index % 5 == 4:
            raise RejectError("every fifth" if index % 2 else "every tenth")
        y, x = np.mgrid[:size, :size]
        picture = np.stack((x * 3 + index, y * 3, np.full_like(x, 10 * index)), -1).astype(np.uint8)
        label = ((x + index) // 8 % 4).astype(np.uint8)
        meta = {"name": name, "split": "val" if index % 3 == 0 else "train", "points5": [], "note": "Zoë"}
        return Prepared(Image.fromarray(picture), Image.fromarray(label), meta)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(Drawings(), tmp_path / "set", SIZE, shard_samples=6)
    return tmp_path / "set"


def test_what_goes_in_comes_out(folder: Path):
    source, shards = Drawings(), ShardSet(folder)
    kept = [name for name in source.names() if int(name.split()[1]) % 5 != 4]
    assert len(shards) == len(kept) and shards.size == SIZE
    shards.verify()
    for index, name in enumerate(kept):
        sample, given = shards[index], source.prepare(name, SIZE)
        assert sample.id == shards.ids[index] == stable_id(f"drawings/{name}")
        assert shards.row(sample.id) == index
        assert np.array_equal(sample.label, np.asarray(given.label))
        error = np.abs(sample.image.astype(int) - np.asarray(given.image))
        assert error.mean() < 2 and sample.image.shape == (SIZE, SIZE, 3)
        assert sample.meta == {"id": f"{sample.id:016x}", **given.meta}
    assert [s.id for s in shards] == shards.ids.tolist()
    with pytest.raises(DataError, match="no sample"):
        shards.row(1)


def test_shards_are_plain_tar_files_in_the_webdataset_layout(folder: Path):
    names = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            names += tar.getnames()
    assert len(names) == 3 * len(ShardSet(folder))
    for jpg, mask, meta in zip(names[::3], names[1::3], names[2::3], strict=True):
        key = jpg.removesuffix(".jpg")
        assert "." not in key and (mask, meta) == (f"{key}.mask.png", f"{key}.json")


def test_report_counts_rejects(folder: Path):
    report = json.loads((folder / "report.json").read_text())
    assert report["photos"] == 23 and report["samples"] == 19
    assert report["rejects"] == {"every tenth": 2, "every fifth": 2}
    assert ["picture 9", "every fifth"] in report["rejected"]


def test_splits_are_told_apart(folder: Path):
    everything, train, val = ShardSet(folder), ShardSet(folder, "train"), ShardSet(folder, "val")
    assert len(train) + len(val) == len(everything)
    assert {s.meta["split"] for s in val} == {"val"}
    assert sorted([*train.ids, *val.ids]) == sorted(everything.ids)
    with pytest.raises(DataError, match="unknown split"):
        ShardSet(folder, "valid")


def test_ids_depend_on_names_alone(tmp_path: Path):
    assert stable_id("portraits/a") == 442815408119944233
    assert stable_id("portraits/a") != stable_id("portraits/b")

    class Reversed(Drawings):
        def names(self) -> list[str]:
            return super().names()[::-1]

    a, b = tmp_path / "a", tmp_path / "b"
    prepare(Drawings(), a, SIZE, shard_samples=6)
    prepare(Reversed(), b, SIZE, shard_samples=9)
    a, b = ShardSet(a), ShardSet(b)
    assert a.ids.tolist() == b.ids.tolist()[::-1]
    assert np.array_equal(a[2].image, b[b.row(a.ids[2])].image)


@pytest.mark.slow
def test_workers_write_the_same_bytes(tmp_path: Path, folder: Path):
    prepare(Drawings(), tmp_path / "again", SIZE, workers=2, shard_samples=6)
    for path in folder.glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


class Counting(Drawings):
    """Notes which pictures were asked for."""

    def __init__(self, die_at: int | None = None) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.die_at = die_at

    def prepare(self, name: str, size: int) -> Prepared:
        self.asked.append(int(name.split()[1]))
        if self.asked[-1] == self.die_at:
            raise KeyboardInterrupt
        return super().prepare(name, size)


def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path: Path, folder: Path):
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        prepare(Counting(die_at=14), out, SIZE, shard_samples=6)
    # What a killed writer can leave: half a shard under its temporary name, or a shard without its record.
    (out / "00002.tar.tmp").write_bytes(b"half")
    shutil.copy(folder / "00003.tar", out / "00003.tar")
    (out / "00003.tar").write_bytes((out / "00003.tar").read_bytes()[:5000])
    with pytest.raises(DataError, match="no prepared shards"):
        ShardSet(out)
    source = Counting()
    report = prepare(source, out, SIZE, shard_samples=6)
    assert source.asked == list(range(12, 23))
    assert report == json.loads((folder / "report.json").read_text())
    for path in [*folder.glob("*.tar"), folder / "index.json", folder / "index.safetensors"]:
        assert path.read_bytes() == (out / path.name).read_bytes()
    assert not list(out.glob("*.tmp"))


def test_another_job_does_not_reuse_shards(folder: Path):
    source = Counting()
    prepare(source, folder, SIZE // 2, shard_samples=6)
    assert len(source.asked) == 23 and ShardSet(folder)[0].image.shape == (SIZE // 2, SIZE // 2, 3)
    fewer = Counting()
    fewer.count = 8
    prepare(fewer, folder, SIZE, shard_samples=6)
    assert len(ShardSet(folder)) == 7


def test_damage_is_noticed(folder: Path):
    path = folder / "00001.tar"
    whole = path.read_bytes()
    shards = ShardSet(folder)
    row = 6
    offset = int(shards._where[1][row, 0])
    path.write_bytes(whole[:offset] + bytes(200) + whole[offset + 200 :])
    changed = ShardSet(folder)
    with pytest.raises(DataError, match="00001.tar is damaged"):
        changed.verify()
    with pytest.raises(DataError, match="00001.tar"):
        changed.sample(row)
    path.write_bytes(whole[:-512])
    with pytest.raises(DataError, match="00001.tar is missing or incomplete"):
        ShardSet(folder)
    path.unlink()
    with pytest.raises(DataError, match="00001.tar is missing"):
        ShardSet(folder)
    path.write_bytes(whole)
    (folder / "index.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="index"):
        ShardSet(folder)


def test_a_sample_without_one_member_is_refused(tmp_path: Path):
    from facesep.data.shards import write_index

    write_shard(tmp_path / "00000.tar", [{"0000000000000001.jpg": b"x", "0000000000000001.json": b"{}"}])
    with pytest.raises(DataError, match="has members"):
        write_index(tmp_path, [tmp_path / "00000.tar"], SIZE)


def test_a_set_travels_to_worker_processes(folder: Path):
    shards = ShardSet(folder, "train")
    first = shards[0].image
    copy = pickle.loads(pickle.dumps(shards))
    assert np.array_equal(copy[0].image, first)
    loader = torch.utils.data.DataLoader(
        shards, batch_size=None, num_workers=1, collate_fn=lambda s: s.id, multiprocessing_context="fork"
    )
    assert list(loader) == shards.ids.tolist()


def test_nonsense_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError):
        prepare(Drawings(), tmp_path, size=0)
    with pytest.raises(DataError, match="none of 0 photos"):
        prepare(Drawings(0), tmp_path / "empty", SIZE)
    with pytest.raises(DataError, match="not a portraits folder"):
        PortraitSource(tmp_path)


# -- portraits --------------------------------------------------------------------------------------

COLUMNS = (
    "name split person expression width height interocular yaw roll mouth_open good_at_256 licence credit"
)


def write_portraits(root: Path, count: int = 3) -> np.ndarray:
    """A folder like the real one; each picture is a gradient, the label marks where the face should be."""
    rng = np.random.default_rng(0)
    points = np.array([[60, 80], [100, 78], [82, 100], [66, 122], [98, 120]], float)
    rows, landmarks = [], []
    (root / "lab").mkdir(parents=True)
    for i in range(count):
        y, x = np.mgrid[:170, :150]
        Image.fromarray(np.stack((x, y, x * 0 + i), -1).astype(np.uint8)).save(
            root / f"lab/{i}.jpg", quality=100
        )
        Image.fromarray((1 + (x > 80)).astype(np.uint8)).save(root / f"lab/{i}.label.png")
        mesh = rng.uniform(60, 120, (478, 3))
        moved = points + i
        mesh[[473, 468, 4, 291, 61], :2] = moved  # the image-left eye may carry either index
        landmarks.append(mesh)
        rows.append([f"lab/{i}", "train", f"p{i}", "neutral", 150, 170, 40, 1.5, -0.5, 0, 1, "CC0", "A, B"])
    with open(root / "index.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS.split(), *rows])
    np.savez(root / "landmarks.npz", names=[row[0] for row in rows], landmarks=np.float32(landmarks))
    return np.float32(landmarks)


def test_portraits_are_cropped_as_the_crop_says(tmp_path: Path):
    landmarks = write_portraits(tmp_path / "photos")
    prepare(PortraitSource(tmp_path / "photos"), tmp_path / "set", 64)
    for index, sample in enumerate(ShardSet(tmp_path / "set")):
        meta = sample.meta
        crop = Crop.from_points(five_points(landmarks[index]))
        left, top, side = meta["crop"]
        assert (left, top, side) == pytest.approx((crop.left, crop.top, crop.side), abs=1e-3)
        # the picture holds its own coordinates: red is x, green is y
        for at in ((20, 30), (40, 35), (32, 50)):
            x, y = crop.to_photo(np.array([at], float) + 0.5, 64)[0]
            red, green, _ = sample.image[at[1], at[0]]
            assert (red, green) == pytest.approx((x - 0.5, y - 0.5), abs=4)
        edge = crop.to_canonical([[81, 0]], 64)[0, 0]
        assert sample.label[32, int(edge) - 2] == 1 and sample.label[32, int(edge) + 2] == 2
        assert sample.label[1, 1] == 0 and (sample.image[1, 1] > 240).all()  # beyond the photo
        assert meta["points5"][0][0] < meta["points5"][1][0]
        expected = crop.to_canonical(landmarks[index, :, :2], 64)
        found = np.array(meta["landmarks"])
        assert np.abs(found[:, :2] - expected).max() < 0.06
        assert np.abs(found[:, 2] - landmarks[index, :, 2] * 64 / side).max() < 0.06
        assert meta["licence"] == "CC0" and meta["credit"] == "A, B" and meta["good_at_256"] == 1


def test_unusable_portraits_are_counted(tmp_path: Path):
    root = tmp_path / "photos"
    landmarks = write_portraits(root, 5)
    (root / "lab/0.jpg").write_bytes(b"no picture")
    Image.new("L", (20, 20)).save(root / "lab/1.label.png")
    landmarks[2, 468, :2] = landmarks[2, 473, :2] + 2
    landmarks[3, 7] = np.nan
    np.savez(root / "landmarks.npz", names=[f"lab/{i}" for i in range(5)], landmarks=landmarks)
    report = prepare(PortraitSource(root), tmp_path / "set", 64)
    assert report["samples"] == 1
    assert report["rejects"] == {
        "unreadable photo or label map": 1,
        "photo and label map differ in size": 1,
        "face too small": 1,
        "no landmarks": 1,
    }


@pytest.mark.slow
def test_the_script(tmp_path: Path):
    write_portraits(tmp_path / "photos")
    script = [sys.executable, "train/prepare_data.py", "portraits"]
    run = subprocess.run(
        [*script, str(tmp_path / "photos"), "--out", str(tmp_path / "set"), "--size", "48"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    assert "3 of 3 photos" in run.stdout and len(ShardSet(tmp_path / "set")) == 3
    run = subprocess.run(
        [*script, str(tmp_path), "--out", str(tmp_path / "x")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 2 and "not a portraits folder" in run.stderr and "Traceback" not in run.stderr
