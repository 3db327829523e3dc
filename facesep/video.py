"""Frames to MP4 and back, one frame in memory at a time.

Videos are read by their time stamps: recordings of a webcam and of phones have no true rate.

Videos are H.264 in yuv420p with the BT.709 matrix, which every browser and phone plays, with the index
in front so that playback starts while the file loads. A file appears under its name only when it is
complete.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor

from facesep import checks
from facesep.errors import ImageError, VideoError
from facesep.files import complete
from facesep.images import to_image

if TYPE_CHECKING:
    import av.container

One = TypeVar("One")
Frame = np.ndarray | Image.Image | Tensor
"""uint8 ``[H, W, 3]``, an RGB image, or ``Tensor[3, H, W]`` in [0, 1]."""

SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")
"""Names of files that are read as videos."""
MAX_SIDE = 4096
"""Longest side of a frame that is read or written, in pixels."""
SOUND_RATE = 48_000
"""Samples of sound per second."""
MAX_FRAMES = 18_000
"""Most frames of one file that is read or written (ten minutes at 30 per second)."""

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"  # no playlists: they open other files and hosts
_CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9", "mpeg4", "mjpeg")
_SOUND_CODECS = ("aac", "mp3", "mp3float", "opus", "libopus", "vorbis", "libvorbis", "flac", "pcm_s16le")
_SOUND_BLOCK = 1024  # samples of one AAC frame
_ROUNDING = 0.002  # seconds; Matroska rounds times to milliseconds
_BT709 = 1  # the code point of matrix, primaries and transfer in ISO/IEC 23091-2
_LIMITED = 1  # AVCOL_RANGE_MPEG


class VideoInfo(NamedTuple):
    """What the header of a video says; ``comment`` is its comment tag, ``seconds`` is 0 if it is not told."""

    width: int
    height: int
    fps: float
    frames: int
    comment: str
    seconds: float


def write_video(
    frames: Iterable[Frame],
    path: str | Path,
    fps: float = 30,
    *,
    on_frame: Callable[[int], object] | None = None,
    crf: int = 18,
    title: str = "",
    comment: str = "",
    sound: np.ndarray | None = None,
) -> Path:
    """Encodes frames as they come; results of the model pass through ``provenance.write_video``.

    Args:
        frames: any iterable of frames of one size; odd sizes are padded by repeating the last column
            or row, because yuv420p needs even ones.
        path: where to write; must end in ``.mp4``. An existing file is replaced when all is done.
        fps: frames per second, 1 to 120.
        on_frame: called with the number of frames written after each one.
        crf: H.264 quality, 0 (best) to 51.
        title: title tag of the file.
        comment: comment tag of the file.
        sound: as ``read_sound`` gives it, played from the first frame on.

    Returns:
        The path.

    Raises:
        VideoError: if there are no frames, sizes differ, or the file cannot be written. Errors raised
            by ``frames`` or ``on_frame`` pass through; no file is left behind.
    """
    path = checks.path(path, "path", VideoError)
    if path.suffix.lower() != ".mp4":
        raise VideoError(
            f"videos are written as .mp4, not {path.suffix or 'without a suffix'!r}: {path.name}"
        )
    fps = check_fps(fps)
    checks.whole(crf, "crf", 0, 51, VideoError)
    if on_frame is not None and not callable(on_frame):
        raise VideoError(f"on_frame must be a function of a number, got {checks.shown(on_frame)}")
    if not path.parent.is_dir():
        raise VideoError(f"the folder {path.parent} does not exist: create it first")
    pixels = map(to_pixels, iterate(frames))
    first = next(pixels, None)
    if first is None:
        raise VideoError("there are no frames to write")

    with complete(path, VideoError) as part:
        with _explain(f"cannot write {path}"):
            encoder = _Encoder(part, first, fps, crf, {"title": title, "comment": comment}, sound)
        with encoder:
            for count, frame in enumerate(itertools.chain([first], pixels), 1):
                if count > MAX_FRAMES:
                    raise VideoError(f"a video has at most {MAX_FRAMES} frames: write it in parts")
                encoder.add(frame, count)
                if on_frame is not None:
                    on_frame(count)
    return path


def check_fps(fps: float) -> float:
    """Frames per second that a video can have.

    Raises:
        VideoError: for anything but a number from 1 to 120.
    """
    return checks.number(fps, "fps", 1, 120, VideoError)


def iterate(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames one by one.

    Raises:
        VideoError: for something that holds none.
    """
    try:
        return iter(frames)
    except TypeError as error:
        raise VideoError(f"frames must be an iterable of frames, got {checks.shown(frames)}") from error


def counted(frames: Iterable[One], on_frame: Callable[[int], object] | None) -> Iterator[One]:
    """The frames one by one; reports each when it is done."""
    for count, frame in enumerate(frames, 1):
        if on_frame is not None:
            on_frame(count)
        yield frame


def read_frames(path: str | Path, *, max_frames: int = MAX_FRAMES) -> Iterator[np.ndarray]:
    """Decodes a video of untrusted origin frame by frame.

    Args:
        path: an MP4, MOV, WebM, Matroska or AVI file.
        max_frames: most frames that are read.

    Yields:
        uint8 ``[H, W, 3]`` RGB arrays, upright.

    Raises:
        VideoError: if the file is not such a video, is damaged, too large or too long.
    """
    return map(_upright, _decode(path, max_frames))


def sample_frames(path: str | Path, fps: float, seconds: float) -> Iterator[np.ndarray]:
    """Decodes a video of untrusted origin at a steady rate, whatever its own.

    What counts is when each frame is shown, not the rate that the header tells: the duration is kept to half
    a frame of the samples.

    Args:
        path: see ``read_frames``.
        fps: samples per second.
        seconds: how much of the video is read, at most.

    Yields:
        The frame that is shown at each moment ``k / fps``, as ``read_frames`` gives it; the same array
        as before while it is still shown.

    Raises:
        VideoError: as ``read_frames``.
    """
    moments = (count / fps for count in range(round(seconds * fps)))
    moment, shown, start, end = next(moments), None, 0.0, 0.0
    for frame in _decode(path, MAX_FRAMES):
        if shown is None:
            first = frame.time or 0.0
        # Frames without a time, or with one that goes back, follow the one before.
        start = max(end if frame.time is None else frame.time - first, start)
        end = start + float((frame.duration or 0) * (frame.time_base or 0))
        if shown is not None and moment < start - _ROUNDING:
            array = _upright(shown)
            while moment < start - _ROUNDING:
                yield array
                moment = next(moments, None)
                if moment is None:
                    return
        shown = frame
    if shown is not None:
        array = _upright(shown)
        while moment is not None and (moment == 0 or moment < end - 0.5 / fps):
            yield array
            moment = next(moments, None)


def read_sound(path: str | Path, seconds: float) -> np.ndarray | None:
    """The sound of a video from its first frame on.

    Args:
        path: see ``read_frames``.
        seconds: how much of it is read; where there is no sound yet or no more, it is silent.

    Returns:
        int16 ``[2, samples]`` at 48 kHz; None if the video has no sound or one that cannot be read.

    Raises:
        VideoError: if the file is not a video.
    """
    import av

    track = np.zeros((2, round(seconds * SOUND_RATE)), np.int16)
    heard = False
    with _open(path) as container, suppress(av.FFmpegError):
        context = container.streams.audio[0].codec_context if container.streams.audio else None
        if context is None or context.name not in _SOUND_CODECS:
            return None
        picture, at = container.streams.video[0], 0
        start = float((picture.start_time or 0) * picture.time_base)
        resampler = av.AudioResampler(format="s16p", layout="stereo", rate=SOUND_RATE)
        for frame in container.decode(container.streams.audio[0]):
            begin = at if frame.time is None else round((frame.time - start) * SOUND_RATE)
            if abs(begin - at) > SOUND_RATE // 20:  # it starts later or earlier than the picture, or pauses
                at = begin
            for part in resampler.resample(frame):
                samples = part.to_ndarray()[:, max(-at, 0) :][:, : max(track.shape[1] - max(at, 0), 0)]
                track[:, max(at, 0) : max(at, 0) + samples.shape[1]] = samples
                at += part.samples
                heard = heard or samples.size > 0
            if at >= track.shape[1]:
                break
    return track if heard else None


def _decode(path: str | Path, max_frames: int) -> Iterator[av.VideoFrame]:
    checks.whole(max_frames, "max_frames", 1, None, VideoError)
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        with _explain(f"{Path(path).name} is damaged"):
            decoded = container.decode(stream)
            for count in itertools.count(1):
                frame = next(decoded, None)
                if frame is None:
                    return
                if count > max_frames:
                    raise VideoError(f"the video has more than {max_frames} frames: cut it shorter")
                _check_size(frame.width, frame.height)
                yield frame


def _upright(frame: av.VideoFrame) -> np.ndarray:
    array = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(array, frame.rotation // 90 % 4))


def video_info(path: str | Path) -> VideoInfo:
    """Reads the header of a video; see ``read_frames`` for what is accepted."""
    with _open(path) as container:
        stream = container.streams.video[0]
        return VideoInfo(
            stream.codec_context.width,
            stream.codec_context.height,
            float(stream.average_rate or 0),
            stream.frames,
            container.metadata.get("comment", ""),
            float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6,
        )


class _Encoder:
    """An open MP4 file; leaving the context completes it."""

    def __init__(
        self,
        path: Path,
        first: np.ndarray,
        fps: float,
        crf: int,
        tags: dict[str, str],
        sound: np.ndarray | None,
    ) -> None:
        import av

        self.shape = first.shape
        height, width = (side + side % 2 for side in first.shape[:2])
        self.file = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self.file.metadata.update(tags)
        self.stream = self.file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        self.stream.options = {"crf": str(crf)}
        context = self.stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        if sound is not None:
            self._add_sound(sound)

    def _add_sound(self, sound: np.ndarray) -> None:
        """Encodes all of it; it waits in the file's buffer for the frames that it belongs to."""
        import av

        stream = self.file.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        for start in range(0, sound.shape[1], _SOUND_BLOCK):
            block = np.ascontiguousarray(sound[:, start : start + _SOUND_BLOCK], np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16p", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
            self.file.mux(stream.encode(frame))
        self.file.mux(stream.encode(None))

    def add(self, pixels: np.ndarray, count: int) -> None:
        """Encodes one frame."""
        import av

        if pixels.shape != self.shape:
            raise VideoError(
                f"frame {count} has {pixels.shape[1]} x {pixels.shape[0]} pixels, "
                f"the first one {self.shape[1]} x {self.shape[0]}: give frames of one size"
            )
        height, width = pixels.shape[:2]
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with _explain("cannot encode the video"):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            self.file.mux(self.stream.encode(frame))

    def __enter__(self) -> _Encoder:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            with _explain("cannot complete the video"):
                if kind is None:
                    self.file.mux(self.stream.encode(None))
                self.file.close()
        except VideoError:
            if kind is None:
                raise


def to_pixels(frame: Frame) -> np.ndarray:
    """A frame of any kind as uint8 ``[H, W, 3]``.

    Raises:
        VideoError: if it is something else, not finite or too large.
    """
    if isinstance(frame, Tensor):
        try:
            frame = to_image(frame)
        except ImageError as error:
            raise VideoError(f"a frame cannot be used: {error}") from error
    if isinstance(frame, Image.Image):
        frame = np.asarray(frame.convert("RGB"))
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise VideoError(f"frames must be uint8 arrays [H, W, 3], images or tensors [3, H, W], got {got}")
    _check_size(frame.shape[1], frame.shape[0])
    return frame


def _check_size(width: int, height: int) -> None:
    if min(width, height) < 1 or max(width, height) > MAX_SIDE:
        raise VideoError(f"a video frame has {width} x {height} pixels: use 1 to {MAX_SIDE} a side")


@contextmanager
def _open(path: str | Path) -> Iterator[av.container.InputContainer]:
    """Opens a video for reading with the allowed containers and codecs only."""
    import av

    path = checks.path(path, "path", VideoError)
    problem = f"cannot read {path.name[:200]!r} as a video (MP4, MOV, WebM, Matroska or AVI)"
    with _explain(problem):
        if not path.is_file():
            raise VideoError(f"there is no file {str(path)[:200]!r}: check the path of the video")
        file = open(path, "rb")  # noqa: SIM115 closed below; ffmpeg never sees the name
    with file:
        with _explain(problem):
            container = av.open(file, options={"format_whitelist": _CONTAINERS})
        with container:
            if not container.streams.video:
                raise VideoError(f"{path.name} has no picture track: choose another video")
            context = container.streams.video[0].codec_context
            if context is None or context.name not in _CODECS:
                name = getattr(context, "name", "unknown")
                raise VideoError(f"{path.name} is coded as {name}: save it as H.264, H.265, VP9 or AV1")
            _check_size(context.width, context.height)
            yield container


@contextmanager
def _explain(problem: str) -> Iterator[None]:
    """Turns the errors of the codec library and the file system into VideoError."""
    try:
        yield
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error  # without the path, which is the server's own
        raise VideoError(f"{problem}: {reason}") from error
