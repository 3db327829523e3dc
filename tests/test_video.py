"""Videos keep their frames, sizes, colours and tags, and damaged ones are refused."""

from __future__ import annotations

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesep import video
from facesep.errors import VideoError
from facesep.video import SOUND_RATE, read_frames, read_sound, sample_frames, video_info, write_video


def frame(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth frame with a bright bar that tells its index."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack((60 + x * 100 / width, 60 + y * 100 / height, np.full(x.shape, 90.0)), -1)
    pixels[:, 4 * index : 4 * index + 4] = 230
    return pixels.astype(np.uint8)


def clip(path: Path, count: int = 8, **options) -> Path:
    return write_video((frame(i) for i in range(count)), path, **options)


def test_round_trip(tmp_path):
    path = clip(tmp_path / "a.mp4", fps=25)
    read = list(read_frames(path))
    assert len(read) == 8
    for index, got in enumerate(read):
        assert got.dtype == np.uint8 and got.shape == (48, 64, 3)
        assert np.abs(got.astype(float) - frame(index)).mean() < 6
        assert got[:, :32].mean((0, 2)).reshape(8, 4).mean(1).argmax() == index
    assert video_info(path)[:4] == (64, 48, 25.0, 8)


@pytest.mark.parametrize(
    "colour", [(250, 10, 10), (10, 250, 10), (10, 10, 250), (200, 150, 120), (255, 255, 255)]
)
def test_colours_survive(tmp_path, colour):
    flat = np.full((32, 32, 3), colour, np.uint8)
    read = next(read_frames(write_video([flat] * 2, tmp_path / "a.mp4")))
    assert np.abs(read.astype(int) - flat).max() <= 6


def test_file_says_which_colours_it_holds(tmp_path):
    """The stored samples must follow the BT.709 matrix that the header promises (ITU-R BT.709, 3)."""
    import av

    r, g, b = 200, 60, 40
    path = write_video([np.full((32, 32, 3), (r, g, b), np.uint8)], tmp_path / "a.mp4", crf=0)
    with av.open(str(path)) as file:
        stored = next(file.decode(video=0))
    assert (int(stored.colorspace), int(stored.color_range)) == (1, 1)
    assert stored.format.name == "yuv420p"
    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
    planes = [
        float(np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[4, 4]) for plane in stored.planes
    ]
    expected = (
        16 + luma * 219 / 255,
        128 + (b - luma) / 1.8556 * 224 / 255,
        128 + (r - luma) / 1.5748 * 224 / 255,
    )
    assert np.abs(np.subtract(planes, expected)).max() <= 1.5


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (47, 64), (48, 63), (17, 31)])
def test_odd_sizes_are_padded(tmp_path, size):
    pixels = frame(1, *size)
    got = next(read_frames(write_video([pixels] * 2, tmp_path / "a.mp4", crf=1)))
    assert got.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    if min(size) > 16:
        assert np.abs(got[: size[0], : size[1]].astype(float) - pixels).mean() < 6


def test_all_kinds_of_frames_are_equal(tmp_path):
    array = frame(2)
    tensor = torch.from_numpy(array).permute(2, 0, 1) / 255
    written = [
        write_video([kind] * 3, tmp_path / f"{i}.mp4").read_bytes()
        for i, kind in enumerate((array, Image.fromarray(array), tensor))
    ]
    assert written[0] == written[1] == written[2]


def test_tags_and_fast_start(tmp_path):
    path = clip(tmp_path / "a.mp4", title="A title", comment="A comment")
    assert video_info(path).comment == "A comment"
    data = path.read_bytes()
    assert data[4:8] == b"ftyp" and 0 < data.index(b"moov") < data.index(b"mdat")


def test_fractional_rate(tmp_path):
    assert video_info(clip(tmp_path / "a.mp4", fps=29.97)).fps == pytest.approx(29.97, abs=0.01)


def test_progress_and_streaming(tmp_path):
    """Each frame is written before the next one is asked for, apart from the first."""
    events = []

    def frames():
        for i in range(5):
            events.append(("made", i + 1))
            yield frame(i)

    write_video(frames(), tmp_path / "a.mp4", on_frame=lambda count: events.append(("written", count)))
    assert events == [(kind, i) for i in range(1, 6) for kind in ("made", "written")]


def test_failure_leaves_the_old_file(tmp_path):
    path = clip(tmp_path / "a.mp4")
    before = path.read_bytes()

    def broken():
        yield frame(0)
        raise KeyError("mine")

    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyError, match="mine"):
        write_video(broken(), path)
    with pytest.raises(KeyboardInterrupt):
        clip(path, on_frame=stop)
    with pytest.raises(VideoError, match="frame 2 has 64 x 50"):
        write_video([frame(0), frame(1, height=50)], path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        ([], {}, "no frames"),
        ([frame(0)], {"fps": 0}, "fps"),
        ([frame(0)], {"fps": float("nan")}, "fps"),
        ([frame(0)], {"crf": 60}, "crf"),
        ([frame(0).astype(float)], {}, "uint8"),
        ([frame(0)[..., 0]], {}, "uint8"),
        (["a.png"], {}, "str"),
        ([torch.full((3, 8, 8), float("nan"))], {}, "finite"),
        ([np.zeros((0, 4, 3), np.uint8)], {}, "4 x 0"),
        ([np.broadcast_to(np.uint8(0), (5000, 8, 3))], {}, "8 x 5000"),
    ],
)
def test_wrong_input(tmp_path, frames, options, message):
    with pytest.raises(VideoError, match=message):
        write_video(frames, tmp_path / "a.mp4", **options)
    assert not list(tmp_path.iterdir())


def test_wrong_paths(tmp_path):
    with pytest.raises(VideoError, match="mp4"):
        clip(tmp_path / "a.gif")
    with pytest.raises(VideoError, match="does not exist"):
        clip(tmp_path / "missing" / "a.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(VideoError, match="cannot write"):
        clip(tmp_path / "folder.mp4")
    for path in (tmp_path / "missing.mp4", tmp_path, "nul\0.mp4"):
        with pytest.raises(VideoError):
            next(read_frames(path))


def test_limits(tmp_path, monkeypatch):
    path = clip(tmp_path / "a.mp4")
    assert len(list(read_frames(path, max_frames=8))) == 8
    with pytest.raises(VideoError, match="more than 7 frames"):
        list(read_frames(path, max_frames=7))
    monkeypatch.setattr(video, "MAX_SIDE", 60)
    with pytest.raises(VideoError, match="64 x 48"):
        next(read_frames(path))


def test_rotated_video(tmp_path):
    """Phones store the sensor's frame and a matrix in the track header (ISO 14496-12, 8.3.2)."""
    path = clip(tmp_path / "a.mp4", count=1, crf=1)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one, unit = 1 << 16, 1 << 30
    assert struct.unpack(">9i", data[matrix : matrix + 36]) == (one, 0, 0, 0, one, 0, 0, 0, unit)
    upright = next(read_frames(path))
    for values, turns in (
        ((0, one, 0, -one, 0, 0, 48 * one, 0, unit), -1),  # shown turned a quarter clockwise
        ((-one, 0, 0, 0, -one, 0, 64 * one, 48 * one, unit), 2),
        ((0, -one, 0, one, 0, 0, 0, 64 * one, unit), 1),
    ):
        data[matrix : matrix + 36] = struct.pack(">9i", *values)
        path.write_bytes(data)
        assert np.array_equal(next(read_frames(path)), np.rot90(upright, turns))


def test_damaged_videos_are_refused(tmp_path):
    data = clip(tmp_path / "a.mp4").read_bytes()
    path = tmp_path / "b.mp4"
    generator = np.random.default_rng(0)
    for trial in range(60):
        changed = bytearray(data)
        if trial % 3 == 0:
            changed = changed[: int(generator.integers(0, len(data)))]
        for _ in range(0 if trial % 3 == 0 else 20):
            changed[generator.integers(len(data))] = generator.integers(256)
        path.write_bytes(changed)
        try:
            for read in read_frames(path, max_frames=50):
                assert read.dtype == np.uint8
        except VideoError:
            pass


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"plain text",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile secret.mp4\n",
        b"GIF89a" + bytes(20),
    ],
)
def test_other_files_are_refused(tmp_path, content):
    """Playlists in particular: they would make the decoder open other files."""
    secret = clip(tmp_path / "secret.mp4")
    path = tmp_path / "a.mp4"
    path.write_bytes(content.replace(b"{secret}", str(secret).encode()))
    with pytest.raises(VideoError, match="cannot read"):
        next(read_frames(path))


def test_memory_does_not_grow_with_length(tmp_path):
    script = f"""
import resource
import numpy as np
from facesep.video import write_video, read_frames
def frames(count):
    for i in range(count):
        yield np.full((320, 320, 3), i % 200, np.uint8)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
write_video(frames(60), "{tmp_path}/a.mp4")
before = peak()
write_video(frames(400), "{tmp_path}/a.mp4")
assert sum(1 for _ in read_frames("{tmp_path}/a.mp4")) == 400
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60  # MB; 400 frames are 123


# -- time stamps and sound --------------------------------------------------------------------------


def timed(path: Path, times: list[float], codec: str, rate: int = 30, **options: str) -> Path:
    """A video whose frames, ever brighter, are shown at given times, as a browser or a phone writes them."""
    import av

    with av.open(str(path), "w", options=options) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, time in enumerate(times):
            pixels = np.full((48, 64, 3), 20 + 6 * index % 200, np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = round(1000 * time), Fraction(1, 1000)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    return path


UNEVEN = np.concatenate([[0], np.cumsum(np.random.default_rng(0).uniform(0.02, 0.18, 33))]).tolist()


@pytest.mark.parametrize(
    ("name", "times", "codec", "rate", "options"),
    [
        ("webcam.webm", UNEVEN, "libvpx", 30, {"live": "1"}),  # no duration in the header
        ("variable.mkv", UNEVEN, "libx264", 30, {}),
        ("slow.mp4", [0, 1, 2, 3, 4, 5, 6, 7], "libx264", 1, {}),
        ("four.mp4", [k / 4 for k in range(8)], "libx264", 4, {}),
        ("fast.mp4", [k / 240 for k in range(480)], "libx264", 240, {}),
        ("late.mkv", [t + 5 for t in UNEVEN], "libx264", 30, {}),
    ],
)
def test_samples_follow_the_time_stamps(tmp_path, name, times, codec, rate, options):
    path = timed(tmp_path / name, times, codec, rate, **options)
    frames = list(read_frames(path))
    samples = list(sample_frames(path, 15, 60))
    assert abs(len(samples) / 15 - (times[-1] - times[0] + 1 / rate)) <= 1 / 15
    for count, sample in enumerate(samples):
        shown = max(k for k, time in enumerate(times) if time - times[0] <= count / 15 + 0.003)
        assert np.array_equal(sample, frames[shown]), count
    assert len(list(sample_frames(path, 15, 0.1))) == 2


def test_times_that_leap_do_no_harm(tmp_path):
    leap = timed(tmp_path / "leap.mkv", [0, 0.1, 80_000], "libx264")
    assert len(list(sample_frames(leap, 15, 2))) == 30
    still = timed(tmp_path / "still.mkv", [0], "libx264")
    assert len(list(sample_frames(still, 15, 2))) == 1


def tone(seconds: float) -> np.ndarray:
    """Silence, then a tone, half as loud on the right."""
    time = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    wave = 9000 * np.sin(2 * np.pi * 440 * time) * (time > seconds / 2)
    return np.stack([wave, wave / 2]).astype(np.int16)


def test_sound_is_kept(tmp_path):
    sound = tone(1.0)
    path = clip(tmp_path / "a.mp4", 8, fps=8, sound=sound)
    heard = read_sound(path, 1.0)
    assert heard.shape == sound.shape and video_info(path).seconds == pytest.approx(1.0, abs=0.05)
    for channel in range(2):
        assert np.corrcoef(heard[channel], sound[channel])[0, 1] > 0.98  # in time: a shift would lower it
    assert heard[0].std() == pytest.approx(2 * heard[1].std(), rel=0.05)
    assert read_sound(path, 0.25).shape == (2, SOUND_RATE // 4)
    longer = read_sound(path, 1.5)
    assert longer.shape == (2, 3 * SOUND_RATE // 2) and not longer[:, -SOUND_RATE // 4 :].any()
    assert read_sound(clip(tmp_path / "b.mp4"), 1.0) is None


def test_damaged_sound_is_no_error(tmp_path):
    data = clip(tmp_path / "a.mp4", sound=tone(1.0)).read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(20):
        changed = bytearray(data)
        for place in generator.integers(data.index(b"mdat"), len(data), 200):
            changed[place] = generator.integers(256)
        (tmp_path / "b.mp4").write_bytes(changed)
        heard = read_sound(tmp_path / "b.mp4", 1.0)
        assert heard is None or heard.shape == (2, SOUND_RATE)
