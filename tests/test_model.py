"""FaceSep: what a user writes."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesep import Codes, FaceSep
from facesep.camera import orbit_path
from facesep.config import preset
from facesep.demo.examples import FOLDER
from facesep.errors import (
    CheckpointError,
    CodesError,
    ConfigError,
    ImageError,
    LyingPhotoError,
    PhotoWarning,
    VideoError,
)
from facesep.faces import Aligned
from facesep.images import load_image, to_tensor
from facesep.video import read_frames, video_info

ANNA, BEN = (FOLDER / f"london_{name}.jpg" for name in ("016", "036"))
PHOTOS = Path(__file__).parent / "data" / "photos"


@pytest.fixture(scope="module")
def sep() -> FaceSep:
    torch.manual_seed(0)
    return FaceSep(preset("tiny"))


@pytest.fixture(scope="module")
def crops() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(3)]


def same(a: Codes, b: Codes, tolerance: float = 0.0) -> None:
    torch.testing.assert_close(a.vector(), b.vector(), atol=tolerance, rtol=0)


def test_every_kind_of_photo_gives_the_same_codes(sep, crops, tmp_path):
    crop = crops[0]
    crop.save(tmp_path / "crop.png")
    data = io.BytesIO()
    crop.save(data, "PNG")
    wanted = sep.encode(crop, aligned=True)
    assert not wanted.batched
    sources = (
        tmp_path / "crop.png",
        str(tmp_path / "crop.png"),
        data.getvalue(),
        np.asarray(crop),
        to_tensor(crop),
    )
    for source in sources:
        same(sep.encode(source, aligned=True), wanted, 1e-5)


def test_lists_and_batches_give_batches_that_equal_their_items(sep, crops):
    batch = sep.encode(crops, aligned=True)
    assert len(batch) == 3
    tensor = torch.stack([to_tensor(crop) for crop in crops])
    same(sep.encode(tensor, aligned=True), batch, 1e-5)
    for index, crop in enumerate(crops):
        same(sep.encode(crop, aligned=True), batch[index], 1e-5)


def test_lists_may_hold_aligned_photos_and_crops(sep, crops):
    """Also of another size: points move along with the crop."""
    seen = []

    def encoder(images, points=None):
        seen.append(points)
        return sep.encoder(images, points)

    model = FaceSep(sep.config)
    model.encoder = encoder
    points = np.arange(10.0).reshape(5, 2)
    twice = Aligned.of_crop(crops[1].resize((64, 64), Image.Resampling.NEAREST), 2 * points)
    batch = model.encode([Aligned.of_crop(crops[0], points), twice])
    torch.testing.assert_close(seen.pop(), torch.from_numpy(np.stack([points, points])).float())
    same(batch[0], sep.encode(crops[0], aligned=True), 1e-5)
    mixed = model.encode([crops[2], Aligned.of_crop(crops[0], points)], aligned=True)
    assert seen[0] is None and seen[1].shape == (1, 5, 2)
    same(mixed, sep.encode([crops[2], crops[0]], aligned=True), 1e-5)


def test_render_returns_pictures_or_tensors(sep, crops):
    codes = sep.encode(crops, aligned=True)
    pictures, tensors = sep.render(codes), sep.render(codes, output="tensor")
    assert [p.size for p in pictures] == [(32, 32)] * 3 and tensors.shape == (3, 3, 32, 32)
    one = sep.render(codes[1], output="tensor")
    torch.testing.assert_close(one, tensors[1])
    assert np.abs(np.asarray(pictures[1], np.float32) / 255 - one.permute(1, 2, 0).numpy()).max() < 1 / 255
    with pytest.raises(ConfigError, match="output"):
        sep.render(codes, output="jpeg")
    with pytest.raises(ImageError, match="photo.jpg"):
        sep.render("photo.jpg")


def test_angles_replace_the_heads_own(sep, crops):
    codes = sep.encode(crops[0], aligned=True)
    angles = torch.tensor([0.1, math.radians(30.0), 0.0])
    wanted = sep.render(codes.replace(rotation=angles), output="tensor")
    turned = codes.replace(rotation=torch.tensor([0.1, 0.0, 0.0]))
    torch.testing.assert_close(sep.render(turned, yaw=30, output="tensor"), wanted)
    with pytest.raises(ConfigError, match="yaw"):
        sep.render(codes, yaw=120)
    batch = sep.encode(crops, aligned=True)
    each = sep.render(batch, yaw=[-20, 0, 30], pitch=torch.tensor([0.0, 5.0, -5.0]), output="tensor")
    for face, picture, yaw, pitch in zip(batch, each, (-20, 0, 30), (0, 5, -5), strict=True):
        torch.testing.assert_close(picture, sep.render(face, yaw=yaw, pitch=pitch, output="tensor"))
    for bad in ([1, 2], [], [0, 0, 95], ["a", "b", "c"]):
        with pytest.raises(ConfigError, match="yaw"):
            sep.render(batch, yaw=bad)


def test_transfer_mix_and_interpolate(sep, crops):
    anna, ben, cara = sep.encode(crops, aligned=True)
    face = sep.transfer(anna, ben, ["expression", "hair"])
    for name, code in face.items():
        torch.testing.assert_close(code, getattr(ben if name in ("expression", "hair") else anna, name))
    mixed = sep.mix(anna, hair=ben, illumination=cara)
    torch.testing.assert_close(mixed.illumination, cara.illumination)
    torch.testing.assert_close(mixed.hair, ben.hair)
    torch.testing.assert_close(mixed.texture, anna.texture)
    same(sep.interpolate(anna, ben, 0.0), anna)
    same(sep.interpolate(anna, ben, 1.0), ben)
    half = sep.transfer(anna, ben, "texture", strength=0.5)
    torch.testing.assert_close(half.texture, (anna.texture + ben.texture) / 2)
    for bad in (["smile"], [], "nose"):
        with pytest.raises(CodesError):
            sep.transfer(anna, ben, bad)


def test_faces_are_chosen_in_the_photos_of_donors(sep, photos, tmp_path):
    pair = Image.new("RGB", (1500, 720), "white")
    for place, photo in enumerate(photos[:2]):
        pair.paste(load_image(photo).resize((720 - 80 * place,) * 2), (740 * place, 0))
    pair.save(tmp_path / "pair.png")
    pair = tmp_path / "pair.png"
    anna = sep.portrait(photos[2])
    first, second = (sep.portrait(pair, face=number).codes for number in (0, 1))
    assert not torch.equal(first.hair, second.hair)
    assert torch.equal(sep.transfer(anna, pair, "hair", donor_face=1).codes.hair, second.hair)
    assert torch.equal(sep.transfer(pair, anna, "hair", base_face=1).codes.shape, second.shape)
    mixed = sep.mix(anna, hair=pair, texture=pair, donor_faces={"hair": 1, "texture": 0})
    assert torch.equal(mixed.codes.hair, second.hair) and torch.equal(mixed.codes.texture, first.texture)
    with pytest.raises(ConfigError, match="leave the number out"):
        sep.transfer(pair, anna, "hair", base_face=1, donor_face=0)
    with pytest.raises(ConfigError, match="no donor"):
        sep.mix(anna, hair=photos[0], donor_faces={"texture": 1})


def test_one_donor_serves_a_batch(sep, crops):
    codes = sep.encode(crops, aligned=True)
    face = sep.transfer(codes, codes[0], "hair")
    assert len(face) == 3
    torch.testing.assert_close(face.hair, codes.hair[:1].expand(3, -1))


def test_an_orbit_is_a_video_of_a_seamless_loop(sep, crops, tmp_path):
    codes = sep.encode(crops[0], aligned=True)
    frames = list(sep.orbit(codes, frames=8, yaw=40, pitch=5))
    poses = orbit_path(8, 40, 5)
    for frame, pose in zip(frames, poses, strict=True):
        assert frame.tobytes() == sep.render(codes.replace(rotation=pose)).tobytes()
    done = []
    path = sep.orbit(codes, tmp_path / "orbit.mp4", frames=8, yaw=40, pitch=5, on_frame=done.append)
    assert done == list(range(1, 9)) and len(list(read_frames(path))) == 8
    assert (video_info(path).width, video_info(path).height) == (32, 32)
    first = next(iter(read_frames(path))).astype(np.float32)
    assert np.abs(first - np.asarray(frames[0], np.float32)).mean() < 12
    with pytest.raises(CodesError, match="one face"):
        sep.orbit(sep.encode(crops, aligned=True))
    with pytest.raises(ConfigError, match="yaw"):
        list(sep.orbit(codes, yaw=100))


def test_checkpoints_round_trip(sep, crops, tmp_path):
    sep.save_pretrained(tmp_path / "model")
    again = FaceSep.from_pretrained(tmp_path / "model")
    assert again.config == sep.config
    same(again.encode(crops[0], aligned=True), sep.encode(crops[0], aligned=True))
    half = FaceSep.from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    picture = half.render(half.encode(crops[0], aligned=True), output="tensor")
    wanted = sep.render(sep.encode(crops[0], aligned=True), output="tensor")
    assert (picture - wanted).abs().max() < 0.1


def test_a_configuration_that_does_not_fit_is_a_checkpoint_error(sep, tmp_path):
    sep.save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"samples": 8', '"samples": 0'))
    with pytest.raises(CheckpointError):
        FaceSep.from_pretrained(tmp_path / "model")


def test_what_is_not_a_picture_is_refused(sep, crops, tmp_path):
    (tmp_path / "note.jpg").write_text("hello")
    with pytest.raises(ImageError):
        sep.encode(tmp_path / "note.jpg")
    with pytest.raises(ImageError, match="no photo"):
        sep.encode([])
    with pytest.raises(ImageError, match="^photo 2 of 3: .*not a picture"):
        sep.encode([crops[0], tmp_path / "note.jpg", crops[1]], aligned=True)
    with pytest.raises(ImageError, match="square"):
        sep.encode(crops[0].resize((32, 16)), aligned=True)


def test_the_model_moves_only_to_what_exists(sep):
    with pytest.raises(ConfigError):
        sep.to("cuda:99")
    with pytest.raises(ConfigError, match="floating"):
        sep.to(dtype=torch.int8)


def test_lying_photos_are_turned_when_asked(sep):
    photo = Image.open(ANNA).convert("RGB")
    lying = photo.transpose(Image.ROTATE_90)
    for read in (sep.encode, sep.portrait):
        with pytest.raises(LyingPhotoError, match="upright=True"):
            read(lying)
        with pytest.warns(PhotoWarning, match="photo 1 of 2: The photo was turned by 90 degrees clockwise"):
            assert len(read([lying, photo], upright=True)) == 2
        with pytest.raises(ConfigError, match="upright"):
            read(lying, upright="yes")
    with pytest.warns(PhotoWarning, match="was turned"):
        same(sep.encode(lying, upright=True), sep.encode(photo))
    with pytest.warns(PhotoWarning, match="was turned"):
        portrait = sep.portrait(lying, upright=True)
    same(portrait.codes, sep.encode(photo))
    assert portrait.frames[0].photo.tobytes() == photo.tobytes()
    assert sep.render(portrait).tobytes() == sep.render(sep.portrait(photo)).tobytes()
    with pytest.raises(ConfigError, match="leave face and upright out"):
        sep.encode(lying, aligned=True, upright=True)


def test_warnings_of_photos_reach_programs(sep, tmp_path):
    photo = tmp_path / "cut.png"
    image = Image.open(ANNA)
    image.crop((0, int(image.height * 0.35), image.width, image.height)).save(photo)
    expected = list(sep.align(photo).warnings)
    assert any("ends close to the face" in text for text in expected)
    for given, where in ((photo, ""), ([ANNA, photo], "photo 2 of 2: ")):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for _ in range(2):
                sep.encode(given)  # the same line, so that it is said once
        assert [str(one.message) for one in caught] == [where + text for text in expected]
        assert {one.category for one in caught} == {PhotoWarning}
        assert {one.filename for one in caught} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sep.encode(sep.align(photo))


def test_codes_files_are_as_good_as_photos(sep, tmp_path):
    anna, ben = sep.encode(ANNA), sep.encode(BEN)
    file = tmp_path / "anna.safetensors"
    anna.save(file, include_identity=True)
    assert torch.equal(sep.transfer(file, ben, "hair").vector(), anna.swap(ben, "hair").vector())
    assert torch.equal(sep.mix(ben, hair=str(file)).vector(), ben.replace(hair=anna.hair).vector())
    assert torch.equal(sep.render(file, output="tensor"), sep.render(anna, output="tensor"))


def test_sizes_counts_and_durations_have_limits(sep):
    codes = sep.encode(ANNA)
    for frames in (1, 10**8, 18_001):
        with pytest.raises(ConfigError, match="frames must be a whole number from 2 to 18000"):
            sep.orbit(codes, frames=frames)
    many = Codes(**{name: code.expand(2**18 + 1, -1) for name, code in codes.batch().items()})
    with pytest.raises(CodesError, match="at once"):
        sep.render(many)
    with pytest.raises(ConfigError, match="at once"):
        sep.encode([ANNA] * (2**18 + 1), aligned=True)
    with pytest.raises(VideoError, match="fps"):
        sep.orbit(codes, frames=2, fps=10**9)
    shown = []
    frames = sep.orbit(codes, frames=18_000, on_frame=shown.append)
    next(frames)
    assert shown == [1]
