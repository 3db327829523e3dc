"""Public functions given values of every kind: they work, or raise an error of facesep's own."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from facesep import Codes, FaceSep, FaceSepError, faces, provenance
from facesep.cli import main
from facesep.codes import CODE_SIZES
from facesep.config import preset
from facesep.demo.examples import FOLDER
from facesep.video import write_video

PHOTO = FOLDER / "london_016.jpg"
FEW = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),  # without making a failure smaller
)


class Odd:
    """A value of a kind that nobody expects."""


@pytest.fixture
def inside(tmp_path, monkeypatch) -> Path:
    """An empty current folder, which names that are made up cannot leave."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one(batch: tuple[int, ...] = ()) -> Codes:
    return Codes(**{name: torch.ones(*batch, size) for name, size in CODE_SIZES.items()})


NUMBERS = st.one_of(
    st.integers(-3, 130),
    st.sampled_from([10**8, 2**63, 10**400, -(10**9)]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([np.float32(0.5), np.int64(2), np.nan]),
)
NAMES = st.one_of(
    st.text(alphabet=st.characters(exclude_characters="/\\", max_codepoint=0x3000), max_size=12),
    st.sampled_from(["hair", "shape,hair", "a\0b", "x" * 5000, "a.safetensors", "a.png", "cuda:99"]),
)
CODES = st.sampled_from([one(), one((2,)), one((0,)), one((3,))])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    NAMES,
    st.binary(max_size=20),
    st.sampled_from([Odd(), Odd, len, {}, [], (), {"hair": 0.5}, {"hair": "much"}, {"seed": "x"}, {1: 2}]),
    st.sampled_from([["hair"], ["hair", 7], [None], [[]], "pil", "png", Path("nobody"), Path("a.mp4")]),
    st.sampled_from([torch.ones(3), torch.ones(()), torch.zeros(0), torch.ones(2, 3, 8, 8), torch.ones(705)]),
    st.sampled_from(
        [torch.float16, torch.int64, torch.float8_e4m3fn, torch.device("meta"), torch.device("cpu")]
    ),
    st.sampled_from([np.ones(3), np.ones((4, 4, 3)), np.zeros((0, 3, 3)), np.full((9, 9, 3), "x")]),
    st.sampled_from([Image.new("RGB", (8, 8)), Image.new("L", (8, 9)), Image.new("RGBA", (0, 3))]),
    CODES,
)


TEXTS = st.one_of(
    st.text(alphabet=st.characters(exclude_characters="/\\", max_codepoint=0x3000), max_size=12),
    st.sampled_from(["-1", "1e400", "nan", "--", "-x", "hair", "smile", "512", "keep", "a.mp4", ""]),
)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    frame = PHOTO_IMAGE.resize((320, 320))
    return write_video([frame, frame], tmp_path_factory.mktemp("video") / "talk.mp4", 4)


def survives(function, *arguments, **named) -> None:
    """Calls a function, and does with the result what its kind is for."""
    try:
        result = function(*arguments, **named)
        if inspect.isgenerator(result):
            next(result, None)
    except FaceSepError as error:
        assert len(str(error)) > 10


METHODS = [
    name
    for name, value in vars(Codes).items()
    if not name.startswith("_") and callable(getattr(Codes, name)) and name not in CODE_SIZES
]


def test_every_method_of_codes_is_walked():
    assert set(METHODS) == {
        "batch", "items", "stack", "vector", "from_vector", "to", "detach", "replace", "swap", "mix",
        "interpolate", "save", "load",
    }  # fmt: skip


@FEW
@given(CODES, VALUES, VALUES, VALUES)
def test_codes(inside, codes, a, b, c):
    survives(Codes, **{name: a for name in CODE_SIZES})
    survives(Codes, **dict(codes.items()) | {"hair": a})
    survives(Codes.stack, a)
    survives(Codes.stack, [a, codes])
    survives(Codes.from_vector, a)
    survives(Codes.load, a)
    survives(codes.__getitem__, a)
    survives(codes.to, a)
    survives(codes.replace, hair=a)
    survives(codes.mix, hair=a)
    survives(codes.mix, nose=a)
    survives(codes.interpolate, a, b)
    survives(codes.interpolate, codes, b)
    survives(codes.swap, a, b, c)
    survives(codes.swap, codes, b, c)
    survives(codes.swap, codes, "hair", c)
    survives(codes.save, a, include_identity=b)
    survives(codes.save, a, include_identity=True)
    assert {path.suffix for path in inside.iterdir()} <= {".safetensors"}


@FEW
@given(CODES, VALUES, VALUES, VALUES)
def test_renders(inside, sep, codes, a, b, c):
    survives(sep.render, a)
    survives(sep.render, codes, yaw=a, pitch=b, roll=c)
    survives(sep.render, codes, output=a)
    survives(sep.render, codes, refine=a)
    survives(sep.orbit, a, frames=2)
    survives(sep.orbit, one(), yaw=a, pitch=b, frames=c)
    survives(sep.orbit, one(), frames=2, refine=a)
    if not isinstance(a, str) or "\0" in a or len(a) > 99:
        survives(sep.orbit, one(), a, frames=2, fps=b)
    survives(sep.orbit, one(), "a.mp4", frames=2, fps=b)


@FEW
@given(VALUES, VALUES, VALUES)
def test_photos(inside, sep, a, b, c):
    survives(sep.encode, a)
    survives(sep.encode, [a])
    survives(sep.encode, a, aligned=True)
    survives(sep.encode, PHOTO, face=a)
    survives(sep.encode, Image.new("RGB", (8, 8)), aligned=a, fit=b)
    survives(sep.encode, Image.new("RGB", (8, 8)), aligned=True, fit=b if not isinstance(b, int) else -1)
    survives(sep.align, PHOTO, a)
    survives(sep.transfer, a, one(), b, c)
    survives(sep.transfer, one(), a, "hair")
    survives(sep.mix, a, hair=b)
    survives(sep.interpolate, a, one(), c)


@FEW
@given(CODES, VALUES, VALUES, VALUES)
def test_moves_and_videos(inside, sep, video, codes, a, b, c):
    survives(sep.edit, codes, a)
    survives(sep.edit, a, {"smile": 1})
    survives(sep.edit, codes, {sep.moves()[0].name: a})
    survives(sep.drive, a, video)
    if not isinstance(a, str | Path):
        survives(sep.drive, one(), a)
    survives(sep.drive, one(), video, attributes=a, relative=b, sound=c)
    survives(sep.drive, one(), video, fps=a, seconds=b, on_step=c)
    survives(sep.drive, one(), video, size=a, detail=b, background=c)


@FEW
@given(VALUES, VALUES, VALUES)
def test_portraits(inside, sep, a, b, c):
    survives(sep.portrait, a)
    survives(sep.portrait, PHOTO, face=a, fit=b if not isinstance(b, int) else -1, keep=c)
    survives(sep.render, one(), size=a, background=b, detail=c)
    survives(sep.orbit, one(), frames=2, size=a, background=b, detail=c)


@FEW
@given(VALUES, VALUES)
def test_crops(a, b):
    survives(faces.Aligned.of_crop, a, b)
    survives(faces.Aligned.of_crop, PHOTO_IMAGE, a)
    survives(faces.Crop.from_points, a)
    crop = faces.Crop(10.0, 10.0, 100.0)
    for method in (crop.to_canonical, crop.to_photo):
        survives(method, a, 64)
        survives(method, np.ones((5, 2)), a)
    survives(crop.apply, a, 64)
    survives(crop.apply, PHOTO_IMAGE, a if not isinstance(a, int) else 0)
    survives(crop.apply, PHOTO_IMAGE, 64, a, b)
    survives(faces.Crop, a, a, b)


@pytest.mark.slow
@settings(FEW, max_examples=5)
@given(TEXTS, TEXTS)
def test_flags(inside, video, a, b):
    """Whatever follows a flag: an exit code and a line, no traceback."""
    for command in (
        ("info", a),
        ("info", "--preset", a),
        ("verify", a),
        ("export", "--format", a, "-o", "x"),
        ("export", "--checkpoint", f"./{a}", "-o", "x"),
        ("moves", "--checkpoint", f"./{a}"),
        ("edit", str(PHOTO), a),
        ("edit", str(PHOTO), f"{a}={b}"),
        ("drive", str(PHOTO), a, "--fps", b),
        ("drive", str(PHOTO), str(video), "--seconds", a, "-a", b),
        ("render", str(PHOTO), "--size", a, "--background", b),
        ("transfer", str(PHOTO), str(PHOTO), "-a", a, "-s", b),
    ):
        try:
            assert main(command) in (0, 1, 3)
        except SystemExit as stop:
            assert stop.code in (0, 1, 2)


@FEW
@given(VALUES, VALUES)
def test_models(inside, a, b):
    survives(FaceSep, a)
    tiny = FaceSep(preset("tiny"))
    survives(tiny.to, a, b)
    survives(tiny.to, "cpu", a)
    survives(setattr, tiny, "refiner", a)
    if not isinstance(a, str | Path) or "\0" in str(a):
        survives(tiny.save_pretrained, a)
        survives(tiny.push_to_hub, a)
        survives(FaceSep.from_pretrained, a)
    survives(FaceSep.from_pretrained, device=a, dtype=b)
    survives(FaceSep.from_pretrained, backend=a)
    survives(FaceSep.from_pretrained, "nobody/nothing", revision=a, local_files_only=True)


@FEW
@given(VALUES, VALUES, VALUES)
def test_results(inside, a, b, c):
    picture = Image.new("RGB", (8, 8))
    survives(provenance.encode, a)
    survives(provenance.encode, picture, a, quality=b, marked=c)
    survives(provenance.mark, a)
    survives(provenance.verify, a)
    survives(provenance.write_image, a, "a.png")
    survives(provenance.write_image, picture, "a.jpg", quality=a, marked=b)
    survives(provenance.write_video, a, "a.mp4")
    survives(provenance.write_video, [picture], "a.mp4", a, crf=b, marked=c)
    survives(provenance.write_video, [a], "a.mp4")
    if not isinstance(a, str):
        survives(provenance.write_image, picture, a)
        survives(provenance.write_video, [picture], a)


@FEW
@given(VALUES, VALUES)
def test_faces(inside, a, b):
    blank = Image.new("RGB", (40, 40))
    survives(faces.find_faces, a)
    survives(faces.find_faces, blank, a, b)
    survives(faces.align, a)
    survives(faces.align, blank, a)
    survives(faces.align, PHOTO_IMAGE, a, b if not isinstance(b, int) else -1)
    survives(faces.align, blank, None, 64, a, b)


PHOTO_IMAGE = Image.open(PHOTO).convert("RGB")
