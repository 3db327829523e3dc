"""Detection and alignment on credited photos; the truth comes from another program's landmarks."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageFilter, ImageOps

from facesep.errors import (
    CheckpointError,
    ConfigError,
    LyingPhotoError,
    ManyFacesError,
    NoFaceError,
    SmallFaceError,
    TurnedFaceError,
)
from facesep.faces import Crop, Face, align, alignment, detector, find_faces

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
TRUTH = json.loads((PHOTOS / "landmarks.json").read_text())
MIRROR = [1, 0, 2, 4, 3]


def photo(name: str) -> Image.Image:
    return Image.open(PHOTOS / name).convert("RGB")


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def error(face: Face, points: np.ndarray) -> float:
    """Mean distance of the points in units of the distance between the eyes."""
    return float(np.linalg.norm(face.points - points, axis=1).mean() / np.linalg.norm(points[1] - points[0]))


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_finds_the_face_and_its_points(name: str) -> None:
    faces = find_faces(photo(name))
    assert len(faces) == 1
    assert overlap(faces[0].box, TRUTH[name]["box"]) > 0.6
    assert error(faces[0], np.array(TRUTH[name]["points"])) < 0.06
    assert abs(faces[0].yaw - TRUTH[name]["yaw"]) < 10


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_a_mirrored_photo_gives_mirrored_points(name: str) -> None:
    image = photo(name)
    (face,), (mirrored,) = find_faces(image), find_faces(image.transpose(Image.FLIP_LEFT_RIGHT))
    back = (mirrored.points * (-1, 1) + (image.width, 0))[MIRROR]
    assert error(face, back) < 0.05
    assert mirrored.yaw == pytest.approx(-face.yaw, abs=8)
    assert face.points[0, 0] < face.points[1, 0] and face.points[3, 0] < face.points[4, 0]


@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_tilted_face(degrees: int) -> None:
    name = "london_101.jpg"
    image, points = photo(name), np.array(TRUTH[name]["points"])
    tilted = image.rotate(degrees, Image.BICUBIC, fillcolor=(200, 200, 200))
    angle, centre = np.radians(-degrees), np.array(image.size) / 2
    turn = np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    (face,) = find_faces(tilted)
    assert error(face, (points - centre) @ turn.T + centre) < 0.08
    assert face.roll == pytest.approx(-degrees, abs=6)


def test_a_large_photo_gives_the_same_points() -> None:
    name = "gsa_smiling.jpg"
    image = photo(name)
    (face,) = find_faces(image.resize((image.width * 4, image.height * 4), Image.BICUBIC))
    assert error(face, 4 * np.array(TRUTH[name]["points"])) < 0.06


def test_align_gives_the_canonical_crop() -> None:
    image = photo("london_101.jpg")
    aligned = align(image, size=200)
    assert aligned.image.size == (200, 200) and aligned.image.mode == "RGB"
    assert aligned.crop == Crop.from_points(aligned.face.points)
    np.testing.assert_allclose(aligned.points, aligned.crop.to_canonical(aligned.face.points, 200))
    wanted = np.asarray(aligned.crop.apply(image, 200))
    assert np.array_equal(np.asarray(aligned.image), wanted)
    (again,) = find_faces(aligned.image)
    assert error(again, aligned.points) < 0.06


def test_a_photo_that_moves_within_the_picture_gives_the_same_crop() -> None:
    image = photo("london_099.jpg")
    canvas = Image.new("RGB", (620, 560), "white")
    canvas.paste(image, (140, 90))
    plain, moved = align(image), align(canvas)
    assert error(moved.face, plain.face.points + (140, 90)) < 0.03
    assert moved.crop.side == pytest.approx(plain.crop.side, rel=0.03)


def test_a_face_is_followed_by_the_pointer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """From picture to picture it comes to the same points as the search, and a face that is gone is lost."""
    name = sorted(TRUTH)[0]
    picture = photo(name)
    face = find_faces(picture)[0]
    monkeypatch.setattr(detector, "guess", None)  # the finder is not asked
    shifted = ImageChops.offset(picture, 9, -6)
    followed = detector.track(shifted, face)
    for _ in range(3):  # it stays
        followed = detector.track(shifted, followed)
    assert error(followed, face.points + (9, -6)) < 0.015
    assert overlap(followed.box, tuple(np.array(face.box) + (9, -6, 9, -6))) > 0.9
    assert detector.track(Image.new("RGB", picture.size, "white"), face) is None


@pytest.mark.parametrize("kind", ["white", "noise", "gradient", "blurred"])
def test_no_face(kind: str) -> None:
    if kind == "white":
        image = Image.new("RGB", (320, 240), "white")
    elif kind == "noise":
        values = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
        image = Image.fromarray(values)
    elif kind == "gradient":
        image = Image.linear_gradient("L").convert("RGB")
    else:
        image = photo("gsa_smiling.jpg").filter(ImageFilter.GaussianBlur(60))
    assert find_faces(image) == []
    with pytest.raises(NoFaceError, match="no face"):
        align(image)


LYING = {
    90: (Image.ROTATE_90, "on its side.* 90 degrees clockwise"),
    180: (Image.ROTATE_180, "upside down.* 180 degrees"),
    270: (Image.ROTATE_270, "on its side.* 90 degrees anticlockwise"),
}
"""By how many degrees a photo must be turned clockwise: how it was turned before, what is said."""


@pytest.mark.parametrize("turn", LYING)
@pytest.mark.parametrize("name", sorted(TRUTH))
def test_a_lying_photo_is_named_and_turned(name: str, turn: int) -> None:
    image, (transposition, words) = photo(name), LYING[turn]
    lying = image.transpose(transposition)
    with pytest.raises(LyingPhotoError, match=words) as caught:
        align(lying)
    assert caught.value.turn == turn
    upright = align(image)
    aligned = align(lying, upright=True)
    assert aligned.turn == turn and upright.turn == 0
    assert error(aligned.face, upright.face.points) < 0.01
    assert [line for line in aligned.warnings if "was turned by" in line]
    assert align(image, upright=True).warnings == upright.warnings


@pytest.mark.parametrize("turn", LYING)
def test_the_face_that_was_chosen_of_a_lying_photo(turn: int) -> None:
    sheet, _ = two_people()
    lying = sheet.transpose(LYING[turn][0])
    with pytest.raises(LyingPhotoError):
        align(lying, face=1)
    with pytest.raises(ManyFacesError):
        align(lying, upright=True)
    assert error(align(lying, face=1, upright=True).face, align(sheet, face=1).face.points) < 0.01


@pytest.mark.parametrize("degrees", [-40, 40])
def test_a_tilted_head_is_no_lying_photo(degrees: int) -> None:
    image = photo("london_101.jpg").rotate(degrees, Image.BICUBIC, fillcolor=(200, 200, 200))
    aligned = align(image, upright=True)
    assert aligned.turn == 0 and any("tilted by" in line for line in aligned.warnings)


def test_a_photo_that_may_be_either_way_up_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (face,) = find_faces(photo("london_101.jpg"))
    found = iter([[replace(face, score=0.8)], [], [replace(face, score=0.82)], []])
    monkeypatch.setattr(alignment, "find_faces", lambda *_: next(found))
    aligned = align(photo("london_101.jpg"))
    assert aligned.turn == 0 and any("which way up" in line for line in aligned.warnings)


def two_people() -> tuple[Image.Image, list[str]]:
    sheet = Image.new("RGB", (768, 384), "grey")
    names = ["london_101.jpg", "gsa_smiling.jpg"]
    for index, name in enumerate(names):
        sheet.paste(photo(name), (384 * index, 0))
    return sheet, names


def test_two_faces_must_be_chosen_from() -> None:
    sheet, names = two_people()
    with pytest.raises(ManyFacesError, match="face=0") as caught:
        align(sheet)
    assert len(caught.value.boxes) == 2
    truths = {name: np.array(TRUTH[name]["points"]) + (384 * i, 0) for i, name in enumerate(names)}
    seen = set()
    for index in range(2):
        aligned = align(sheet, face=index)
        assert caught.value.boxes[index] == pytest.approx(aligned.face.box)
        seen |= {name for name, points in truths.items() if error(aligned.face, points) < 0.06}
    assert seen == set(names)
    areas = [face.area for face in find_faces(sheet)]
    assert areas == sorted(areas, reverse=True)
    face = find_faces(sheet)[1]
    assert align(sheet, face=face).crop == align(sheet, face=1).crop


def test_a_far_larger_face_is_taken_with_a_warning() -> None:
    sheet = Image.new("RGB", (768, 500), "grey")
    sheet.paste(photo("london_101.jpg").resize((500, 500)), (0, 0))
    sheet.paste(photo("london_099.jpg").resize((150, 150)), (560, 200))
    aligned = align(sheet)
    assert aligned.face.points[2, 0] < 500
    assert any("2 faces" in line for line in aligned.warnings)


@pytest.mark.parametrize("face", [-1, 1, 9])
def test_a_face_that_is_not_there(face: int) -> None:
    with pytest.raises(ConfigError, match=f"no face {face}"):
        align(photo("london_101.jpg"), face=face)


def test_a_face_of_few_pixels_is_refused() -> None:
    image = photo("london_101.jpg")
    with pytest.raises(SmallFaceError, match="pixels between the eyes"):
        align(image.resize((70, 70), Image.LANCZOS))
    enlarged = align(image.resize((150, 150), Image.LANCZOS))
    assert any("small" in line for line in enlarged.warnings)
    assert not any("small" in line for line in align(image, size=128).warnings)


def test_a_turned_head_is_named() -> None:
    assert any("turned about" in line for line in align(photo("gsa_turned.jpg")).warnings)
    assert align(photo("london_101.jpg")).warnings == ()
    (face,) = find_faces(photo("london_101.jpg"))
    aside = Face(face.box, face.points, face.score, -72.0)
    with pytest.raises(TurnedFaceError, match="72 degrees to the left") as caught:
        align(photo("london_101.jpg"), face=aside)
    assert caught.value.yaw == -72.0


def test_a_face_at_the_border_is_named() -> None:
    image = photo("london_101.jpg")
    left, top, right, bottom = (int(v) for v in TRUTH["london_101.jpg"]["box"])
    close = image.crop((left - 10, top - 10, right + 10, bottom + 10))
    assert any("border" in line for line in align(close).warnings)


def test_a_photo_that_cuts_off_the_hair_is_not_taken_for_a_bald_head() -> None:
    """Nothing of the crop is white, where the photo is dark; close to a whole photo nothing changes."""
    image = photo("london_101.jpg")
    left, top, right, bottom = (int(v) for v in TRUTH["london_101.jpg"]["box"])
    aligned = align(image.crop((0, top, image.width, image.height)))
    assert any("hair beyond its border" in line for line in aligned.warnings)
    crop = np.asarray(aligned.image)
    assert aligned.crop.top < -0.1 * aligned.crop.side
    rows = int(-aligned.crop.top / aligned.crop.side * 256)
    middle = crop[: rows - 3, 96:160]
    np.testing.assert_allclose(middle, np.broadcast_to(crop[rows - 3, 96:160], middle.shape), atol=2)


@pytest.mark.parametrize(("factor", "word"), [(2.0, "wide"), (0.55, "narrow")])
def test_a_squeezed_photo_is_named(factor: float, word: str) -> None:
    image = photo("london_101.jpg")
    assert not any("squeezed" in line for line in align(image).warnings)
    squeezed = image.resize((round(image.width * factor), image.height), Image.BICUBIC)
    assert any(f"unusually {word}" in line for line in align(squeezed).warnings)


@pytest.mark.parametrize("name", ["london_101.jpg", "gsa_smiling.jpg"])
def test_a_drawing_is_named(name: str) -> None:
    edges = ImageOps.invert(photo(name).convert("L").filter(ImageFilter.FIND_EDGES))
    assert any("drawing" in line for line in align(edges).warnings)
    assert not any("drawing" in line for line in align(photo(name)).warnings)


def test_grey_and_transparent_pictures_work() -> None:
    image = photo("london_101.jpg")
    for mode in ("L", "RGBA", "P"):
        (face,) = find_faces(image.convert(mode))
        assert error(face, np.array(TRUTH["london_101.jpg"]["points"])) < 0.07


def test_threads_agree() -> None:
    images = [photo(name) for name in sorted(TRUTH)] * 2
    alone = [find_faces(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(find_faces, images))
    for one, two in zip(alone, together, strict=True):
        assert [face.box for face in one] == [face.box for face in two]
        assert all(np.array_equal(a.points, b.points) for a, b in zip(one, two, strict=True))


def test_damaged_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from facesep.faces import detector

    folder = tmp_path / "assets" / "faces"
    folder.mkdir(parents=True)
    whole = Path(detector.__file__).parents[1] / "assets" / "faces" / "finder.safetensors"
    (folder / "finder.safetensors").write_bytes(whole.read_bytes()[:5000])
    detector._network.cache_clear()
    monkeypatch.setattr(detector.resources, "files", lambda package: tmp_path)
    with pytest.raises(CheckpointError, match="reinstall"):
        find_faces(photo("london_101.jpg"))
    monkeypatch.undo()
    assert find_faces(photo("london_101.jpg"))


def test_the_runtime_needs_no_further_package() -> None:
    code = (
        "import sys; from PIL import Image; from facesep.faces import align;"
        f"align(Image.open({str(PHOTOS / 'london_101.jpg')!r}));"
        "print(sorted({'facexlib', 'cv2', 'torchvision', 'gradio', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_official_detectors_and_parsers_are_never_downloaded(tmp_path: Path) -> None:
    from facesep.faces.parsing import parse

    image = photo("london_101.jpg")
    with pytest.raises(ConfigError, match="weights_dir"):
        find_faces(image, detector="retinaface_resnet50")
    with pytest.raises(ConfigError, match="detection_mobilenet0.25_Final.pth"):
        find_faces(image, detector="retinaface_mobile0.25", weights_dir=tmp_path)
    with pytest.raises(ConfigError, match="detector must be one of"):
        find_faces(image, detector="haar")
    with pytest.raises(ConfigError, match="parsing_bisenet.pth"):
        parse(image, "bisenet", tmp_path)
    with pytest.raises(ConfigError, match="no parser"):
        parse(image, "unet", tmp_path)
