"""The memory-mapped code book against torch's Adam."""

from __future__ import annotations

import pytest
import torch

from facesep.codes import CODE_LENGTH, Codes
from facesep.errors import CheckpointError
from facesep.training.codebook import CodeBook


def test_rows_take_the_steps_of_adam(tmp_path):
    torch.manual_seed(0)
    start = torch.randn(3, CODE_LENGTH)
    book = CodeBook(tmp_path, 10)
    rows = torch.tensor([7, 2, 5])
    book.write(rows, Codes.from_vector(start))
    parameter = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.Adam([parameter], lr=0.01)
    for _ in range(5):
        gradient = torch.randn(3, CODE_LENGTH)
        book.update(rows, gradient, 0.01)
        parameter.grad = gradient
        optimiser.step()
    torch.testing.assert_close(book.read(rows).vector(), parameter.detach(), atol=1e-6, rtol=1e-5)
    assert book.read(torch.tensor([0, 1, 3])).vector().abs().max() == 0


def test_each_row_counts_its_own_steps(tmp_path):
    book = CodeBook(tmp_path, 2)
    book.update(torch.tensor([0]), torch.ones(1, CODE_LENGTH), 0.1)
    book.update(torch.tensor([0, 1]), torch.ones(2, CODE_LENGTH), 0.1)
    codes = book.read(torch.tensor([0, 1])).vector()
    torch.testing.assert_close(codes[0], torch.full((CODE_LENGTH,), -0.2), atol=1e-5, rtol=0)
    torch.testing.assert_close(codes[1], torch.full((CODE_LENGTH,), -0.1), atol=1e-5, rtol=0)


def test_a_book_is_found_again_and_a_cut_one_is_refused(tmp_path):
    book = CodeBook(tmp_path, 4)
    book.write(torch.tensor([3]), Codes.from_vector(torch.full((1, CODE_LENGTH), 2.5)))
    book.flush()
    again = CodeBook(tmp_path)
    assert len(again) == 4
    assert float(again.read(torch.tensor([3])).hair[0, 0]) == 2.5
    with open(tmp_path / "codes.bin", "r+b") as file:
        file.truncate(100)
    with pytest.raises(CheckpointError, match="incomplete"):
        CodeBook(tmp_path)
    with pytest.raises(CheckpointError, match="no code book"):
        CodeBook(tmp_path / "nowhere")
