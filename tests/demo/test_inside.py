"""What the page shows of a face's inside."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from facesep.codes import ATTRIBUTES, CODE_SIZES
from facesep.demo import inside
from facesep.demo.photos import Subject, read
from facesep.errors import ImageError
from facesep.faces.parsing import head_mask, parse
from facesep.provenance import verify

LABELS = {name: f"<{name}>" for name in ATTRIBUTES}


@pytest.fixture(scope="module")
def subject(sep, photos) -> Subject:
    return read(sep, photos[0])


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)


def test_points_are_drawn_where_they_are(subject):
    picture = pixels(inside.landmarks(subject.aligned))
    plain = np.asarray(subject.aligned.image.resize(picture.shape[:2], Image.Resampling.BICUBIC), np.float32)
    rows, columns = np.nonzero(np.abs(picture - plain).sum(-1) > 30)
    points = subject.aligned.points * picture.shape[0] / subject.aligned.image.width
    near = np.hypot(columns[:, None] - points[:, 0], rows[:, None] - points[:, 1])
    assert near.min(1).max() < 9 and near.min(0).max() < 9  # circles at the points and nowhere else


def test_the_head_is_marked_and_coloured_by_opacity(sep, subject):
    data = inside.head(sep, subject)
    assert verify(data).made_by_facesep
    with pytest.raises(ImageError, match="no photo"):
        inside.head(sep, Subject(subject.codes))


def test_every_number_has_a_bar(subject):
    text = inside.bars(subject.codes, LABELS)
    paths = re.findall(r"<path d='(M[^']*)' stroke='currentColor'", text)
    assert [path.count("v") for path in paths] == list(CODE_SIZES.values())
    assert "<shape>" not in text and "&lt;shape&gt;: 512 numbers" in text
    lengths = [float(one) for one in re.findall(r"v(-?[\d.]+)", paths[1])]
    assert np.corrcoef(lengths, -subject.codes.expression.numpy())[0, 1] > 0.99  # up is positive


def test_the_report_holds_warnings_and_facts(subject):
    text = inside.report(subject, LABELS)
    assert "No warnings" in text and "Pixels between the eyes" in text and "yaw" in text
    warned = Subject(subject.codes, replace(subject.aligned, warnings=("The head is <turned>.",)))
    assert "<li>The head is &lt;turned&gt;.</li>" in inside.report(warned, LABELS)


@pytest.mark.parametrize("hidden", [0, 1])
def test_the_model_s_head_is_compared_with_the_one_in_the_photo(sep, subject, monkeypatch, hidden):
    """A model whose head is the parser's, whole or without its lower half."""
    seen = torch.from_numpy(head_mask(parse(subject.aligned.image, "bundled", None))).float()
    seen[len(seen) // 2 :] *= 1 - hidden
    monkeypatch.setattr(inside, "_opacity", lambda sep, codes: seen)
    agreement = inside.overlap(sep, subject)
    text = inside.report(subject, LABELS, agreement)
    assert f"{100 * agreement:.0f} %" in text and ("badly" in text) == bool(hidden)
    assert agreement < 0.7 if hidden else agreement == 1
