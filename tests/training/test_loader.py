"""Batches from shards: on the fly as in memory, ahead in threads as one by one."""

from __future__ import annotations

import dataclasses
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_data import SIZE, write_tiny

from facesep.analysis.label_file import map_tensors
from facesep.data.shards import ShardSet
from facesep.errors import DataError
from facesep.training.dataset import Augmentation, Batch, TrainingSet
from facesep.training.loader import Loader, Step


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_tiny(tmp_path_factory.mktemp("data"), 12)


def steps(data: TrainingSet, count: int = 9, batch: int = 4) -> list[Step]:
    orders = [torch.randperm(len(data), generator=torch.Generator().manual_seed(i)) for i in range(count)]
    return [Step(order[:batch], SIZE, 100 + i, Augmentation()) for i, order in enumerate(orders)]


def same(a: Batch, b: Batch) -> bool:
    return all(
        x is y is None or torch.equal(x.nan_to_num(-7), y.nan_to_num(-7))
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


def test_batches_do_not_depend_on_threads_or_memory(files):
    kept, read = TrainingSet(*files, size=SIZE), TrainingSet(*files, size=SIZE, in_memory=False)
    assert len(kept) == len(read) == 22 and not hasattr(read, "images")
    wanted = []
    for step in steps(kept):
        torch.manual_seed(step.seed)  # the global generator gives the same numbers as one of its own
        wanted.append(kept.batch(step.rows, step.size, step.augmentation))
    torch.manual_seed(5)
    following = torch.rand(3)
    for data in (kept, read):
        for threads in (0, 1, 3):
            torch.manual_seed(5)
            found = list(Loader(data, steps(data), threads))
            assert len(found) == 9 and all(map(same, found, wanted))
            assert torch.equal(torch.rand(3), following)  # nobody else's randomness is touched
    # A run that was stopped after five steps sees what it would have seen.
    assert all(map(same, Loader(read, steps(read)[5:], 2), wanted[5:]))
    assert not same(wanted[0], wanted[1])


def test_the_main_thread_keeps_its_threads_and_workers_end(files):
    data = TrainingSet(*files, size=SIZE, in_memory=False)
    before, running = torch.get_num_threads(), threading.active_count()
    torch.set_num_threads(2)
    try:
        loader = iter(Loader(data, steps(data), 2, ahead=3))
        next(loader)
        assert torch.get_num_threads() == 2 and threading.active_count() == running + 2
        loader.close()
        assert threading.active_count() == running
    finally:
        torch.set_num_threads(before)


def test_steps_are_taken_only_a_few_ahead(files):
    data = TrainingSet(*files, size=SIZE, in_memory=False)
    taken = []

    def endless():
        for number in range(10**9):
            taken.append(number)
            yield Step(torch.tensor([number % len(data)]), SIZE, number)

    loader = iter(Loader(data, endless(), 2, ahead=3))
    for _ in range(5):
        next(loader)
    assert len(taken) <= 5 + 3
    loader.close()


def test_a_damaged_shard_is_reported_where_the_batch_is_asked_for(tmp_path: Path):
    shards, labels = write_tiny(tmp_path, 6)
    data = TrainingSet(shards, labels, size=SIZE, in_memory=False)
    file = shards / "00000.tar"
    whole, at = bytearray(file.read_bytes()), int(data.source._where[1][2, 0])
    whole[at : at + 200] = bytes(200)
    file.write_bytes(whole)
    asked = [Step(torch.tensor([row]), SIZE, 0) for row in (0, 4, 6)]
    loader = iter(Loader(data, asked, 2))
    next(loader)
    with pytest.raises(DataError, match="00000.tar is damaged"):
        next(loader)


def test_rows_without_mirror_images_are_the_photos(files):
    both, photos = (TrainingSet(*files, size=SIZE, mirror=mirror) for mirror in (True, False))
    assert len(photos) == 11 and len(both) == 22
    rows = torch.tensor([3, 0, 7])
    twice, once = both.batch(2 * rows, SIZE), photos.batch(rows, SIZE)
    assert torch.equal(once.rows, rows) and torch.equal(twice.photo, once.photo)
    assert torch.equal(twice.points, once.points)
    assert torch.equal(photos.labels(rows).vector(), both.labels(2 * rows).vector())
    assert torch.equal(photos.codes.vector(), both.codes.vector()[::2])
    flipped = both.batch(2 * rows + 1, SIZE)
    assert torch.equal(flipped.photo, once.photo.flip(-1))


@pytest.mark.parametrize("mirror", [True, False])
def test_partners_show_the_same_person(files, mirror: bool):
    """Against a plain search through all rows."""
    data = TrainingSet(*files, size=SIZE, in_memory=False, mirror=mirror)
    people = [ShardSet(files[0], "train").meta(k)["person"] for k in range(11)]
    of_row = [person for person in people for _ in range(2 if mirror else 1)]
    found = {row: set() for row in range(len(data))}
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        for row, partner in enumerate(data.partner(data.rows(), generator).tolist()):
            found[row].add(partner)
    for row, partners in found.items():
        others = {r for r in range(len(data)) if of_row[r] == of_row[row] and r != row}
        assert partners == (others or {row})


def test_labels_are_those_of_the_file(files):
    data = TrainingSet(*files, size=SIZE, in_memory=False)
    known = load_file(files[1])
    row_of = {int(id_): row for row, id_ in enumerate(known["ids"].tolist())}
    for row in (0, 5, 20):
        expected = known["codes"][row_of[int(data.ids[row // 2])], row % 2]
        assert torch.equal(data.labels(torch.tensor([row])).vector()[0], expected)
    wanted = TrainingSet(*files, size=SIZE)
    assert torch.equal(wanted.codes.vector(), data.codes.vector())
    for name, array in map_tensors(files[1]).items():
        assert np.array_equal(array, known[name].numpy(), equal_nan=name == "depth")


def test_photos_need_no_labels(files):
    data = TrainingSet(files[0], None, size=SIZE)
    batch = data.batch(torch.tensor([0, 1]), SIZE, Augmentation())
    assert batch.depth.isnan().all() and batch.photo.isfinite().all()
    with pytest.raises(DataError, match="have no labels"):
        data.labels(torch.tensor([0]))


def test_damaged_labels_are_refused(files, tmp_path: Path):
    whole = files[1].read_bytes()
    cases = {"cut": whole[:-100], "empty": b"", "text": b"no safetensors file at all" * 9}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="damaged"):
            TrainingSet(files[0], tmp_path / name)
    with pytest.raises(DataError, match="there is no"):
        TrainingSet(files[0], tmp_path / "nothing")
    with pytest.raises(DataError, match="no labels for"):
        TrainingSet(write_tiny(tmp_path, 14)[0], files[1])


def test_memory_does_not_grow_with_the_photos(files, tmp_path: Path):
    """Bytes that Python and numpy hold: for many photos hardly more than for few, unlike in memory."""
    peaks = {}
    for count in (12, 120):
        paths = write_tiny(tmp_path / str(count), count)
        for in_memory in (True, False):
            tracemalloc.start()
            data = TrainingSet(*paths, size=SIZE, in_memory=in_memory)
            tracemalloc.reset_peak()
            start = [Step(torch.arange(4), SIZE, 0, Augmentation())]
            for _ in Loader(data, start * 3, 1):
                pass
            peaks[count, in_memory] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    pixels = SIZE * SIZE * 4
    assert peaks[120, True] - peaks[12, True] > 108 * pixels
    assert peaks[120, False] - peaks[12, False] < 108 * 700


@pytest.mark.slow
def test_a_set_of_320000_photos_fits_in_little_memory(tmp_path: Path):
    """The index of one small shard, repeated under new ids, and labels whose codes are holes in the file."""
    import json

    from safetensors.numpy import load_file as load_arrays
    from safetensors.numpy import save_file as save_arrays

    from facesep.codes import CODE_LENGTH

    count = 320_000
    shards, _ = write_tiny(tmp_path, 11)
    index = load_arrays(shards / "index.safetensors")
    rows = np.arange(count) % 10  # the photos of the training split
    index = {name: array[rows].copy() for name, array in index.items()}
    index["id"] = np.random.default_rng(0).permutation(count) + 10**12
    index["person"] = index["id"] // 3
    save_arrays(index, shards / "index.safetensors")
    sizes = {"ids": count * 8, "codes": count * 2 * CODE_LENGTH * 4, "depth": count * 16 * 16 * 2}
    shapes = {"ids": [count], "codes": [count, 2, CODE_LENGTH], "depth": [count, 16, 16]}
    header, start = {}, 0
    for name, kind in (("ids", "I64"), ("codes", "F32"), ("depth", "F16")):
        offsets = [start, start + sizes[name]]
        header[name], start = {"dtype": kind, "shape": shapes[name], "data_offsets": offsets}, offsets[1]
    text = json.dumps(header).encode()
    labels = tmp_path / "large.safetensors"
    with open(labels, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + np.sort(index["id"]).astype(np.int64).tobytes())
        file.truncate(8 + len(text) + start)
    tracemalloc.start()
    data = TrainingSet(shards, labels, size=SIZE, in_memory=False)
    for batch in Loader(data, steps(data, count=4), 2):
        assert batch.photo.isfinite().all()
        assert data.labels(batch.rows).vector().abs().max() == 0
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data) == 2 * count
    assert held < 100 * 2**20 and peak < 200 * 2**20, (held, peak)  # the pixels alone would be 5 GB


def test_partners_come_with_their_batch(files):
    kept, read = TrainingSet(*files, size=SIZE), TrainingSet(*files, size=SIZE, in_memory=False)
    asked = [dataclasses.replace(step, partners=0.5) for step in steps(kept)]
    wanted = list(Loader(kept, asked, 0))
    for data, threads in ((kept, 2), (read, 0), (read, 2)):
        assert all(map(same, Loader(data, asked, threads), wanted))
    plain = list(Loader(kept, steps(kept), 0))
    for batch, without in zip(wanted, plain, strict=True):  # nothing else of a batch is changed by them
        assert same(dataclasses.replace(batch, partnered=None, partner=None, partner_points=None), without)
    shares = torch.cat([torch.zeros(4) if one.partnered is None else one.partnered.float() for one in wanted])
    assert 0.2 < shares.mean() < 0.8
    batch = next(one for one in wanted if one.partnered is not None)
    first, second = batch.split(2)
    assert torch.equal(torch.cat((first.partnered, second.partnered)), batch.partnered)
    assert torch.equal(second.partner, batch.partner[2:]) and not batch.partner[~batch.partnered].any()


def test_a_partner_is_another_photo_of_the_person(files):
    data = TrainingSet(*files, size=SIZE)
    rows = torch.arange(0, len(data) - 2, 5)
    (batch,) = Loader(data, [Step(rows, SIZE, 3, None, 1.0)])
    assert batch.partnered.all()
    photos = data.batch(data.rows(), SIZE).photo
    for row, partner in zip(rows.tolist(), batch.partner, strict=True):
        (found,) = torch.nonzero((photos == partner).flatten(1).all(1))[:, 0].tolist()
        assert found != row and data.people[found // 2] == data.people[row // 2]
