"""The memory-mapped code book: torch's Adam, ownership by process, and what is kept across runs."""

from __future__ import annotations

import errno
import os

import pytest
import torch
from safetensors.torch import load_file

from facesep.codes import CODE_LENGTH, Codes
from facesep.errors import CheckpointError, ConfigError, DataError
from facesep.training.codebook import CodeBook


def filled(folder, photos=7, per_photo=2, rank=0, world=1) -> CodeBook:
    """A book whose every value tells its row."""
    book = CodeBook(folder, photos, per_photo, rank, world)
    rows = book.rows()
    book.write(rows, Codes.from_vector(rows[:, None].float().expand(-1, CODE_LENGTH)))
    book.mark()
    book.update(rows, rows[:, None].float().expand(-1, CODE_LENGTH) + 1, 0.25)
    return book


def test_rows_take_the_steps_of_adam(tmp_path):
    torch.manual_seed(0)
    start = torch.randn(3, CODE_LENGTH)
    book = CodeBook(tmp_path, 5)
    rows = torch.tensor([7, 2, 5])
    book.write(rows, Codes.from_vector(start))
    parameter = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.Adam([parameter], lr=0.01)
    for _ in range(5):
        gradient = torch.randn(3, CODE_LENGTH)
        book.update(rows, gradient, 0.01)
        parameter.grad = gradient
        optimiser.step()
    # The first moment is kept in bfloat16: 1/256 of a step of 0.01, five times.
    torch.testing.assert_close(book.read(rows).vector(), parameter.detach(), atol=2e-4, rtol=0)
    assert (parameter.detach() - start).abs().mean() > 0.005
    assert book.read(torch.tensor([0, 1, 3])).vector().abs().max() == 0


def test_each_row_counts_its_own_steps(tmp_path):
    book = CodeBook(tmp_path, 1)
    book.update(torch.tensor([0]), torch.ones(1, CODE_LENGTH), 0.1)
    book.update(torch.tensor([0, 1]), torch.ones(2, CODE_LENGTH), 0.1)
    codes = book.read(torch.tensor([0, 1])).vector()
    torch.testing.assert_close(codes[0], torch.full((CODE_LENGTH,), -0.2), atol=1e-3, rtol=0)
    torch.testing.assert_close(codes[1], torch.full((CODE_LENGTH,), -0.1), atol=1e-3, rtol=0)


def test_processes_own_photos_in_turn(tmp_path):
    books = [CodeBook(tmp_path / str(rank), 7, 2, rank, 3) for rank in range(3)]
    owned = [book.rows().tolist() for book in books]
    assert sorted(sum(owned, [])) == list(range(14))
    assert owned[1] == [2, 3, 8, 9]
    with pytest.raises(IndexError):
        books[0].read(torch.tensor([2]))
    with pytest.raises(ConfigError, match="start fewer"):
        CodeBook(tmp_path / "few", 2, 1, 0, 3)


@pytest.mark.parametrize(
    ("before", "after"), [(1, 1), (3, 1), (1, 3), (2, 3), (3, 2), (2, 2), (4, 2), (2, 4)]
)
@pytest.mark.parametrize("per_photo", [1, 2])
def test_books_are_dealt_out_anew_whatever_the_number_of_processes(tmp_path, before, after, per_photo):
    whole = filled(tmp_path / "whole", per_photo=per_photo)
    files = [
        filled(tmp_path / f"old{rank}", 7, per_photo, rank, before).save(tmp_path) for rank in range(before)
    ]
    for rank in range(after):
        book = CodeBook(tmp_path / f"new{rank}", 7, per_photo, rank, after)
        book.load(files)
        rows = book.rows()
        for name, array in book._arrays.items():
            assert torch.equal(array, whole._arrays[name][rows]), name


def test_a_saved_book_is_plain_safetensors(tmp_path):
    book = filled(tmp_path / "book")
    stored = load_file(book.save(tmp_path))
    assert all(torch.equal(stored[name], array) for name, array in book._arrays.items())
    assert stored["codes"].shape == (14, CODE_LENGTH)


def test_a_book_takes_three_gigabytes_for_the_papers_images():
    row = sum(kind.itemsize * (1 if name == "steps" else CODE_LENGTH) for name, kind in _kinds().items())
    assert 320_000 * row < 3e9


def _kinds() -> dict:
    from facesep.training.codebook import KINDS

    return KINDS


def test_its_room_is_taken_at_the_start(tmp_path, monkeypatch):
    book = CodeBook(tmp_path, 500)
    for path in tmp_path.iterdir():
        assert path.stat().st_blocks * 512 >= path.stat().st_size, "a sparse file"
    assert not book.read(book.rows()).vector().any()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="No space left on device.*free some room"):
        CodeBook(tmp_path / "full", 500)
    assert not list((tmp_path / "full").iterdir())


def test_parts_that_do_not_belong_are_refused(tmp_path):
    files = [filled(tmp_path / str(rank), rank=rank, world=2).save(tmp_path) for rank in range(2)]
    book = CodeBook(tmp_path / "new", 7)
    with pytest.raises(CheckpointError, match="not complete"):
        book.load(files[:1])
    with pytest.raises(CheckpointError, match="not complete"):
        book.load([])
    with pytest.raises(CheckpointError, match="same shards"):
        CodeBook(tmp_path / "other", 8).load(files)
