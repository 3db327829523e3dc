"""What takes long: videos, read and made with progress, until somebody stops it."""

from __future__ import annotations

import time
from collections.abc import Iterable

import gradio as gr
import numpy as np
from PIL import Image

from facesep.demo.computing import computed
from facesep.demo.gpu import on_gpu
from facesep.demo.limits import DRIVE_FPS, DRIVE_SECONDS, MAX_SECONDS
from facesep.demo.page import Visit
from facesep.demo.uploads import Upload
from facesep.driving import Motion, Step, follow
from facesep.driving import read_motion as motion_of
from facesep.errors import ConfigError
from facesep.provenance import write_video

VIDEO = "facesep.mp4"
"""Name under which videos are downloaded."""
_follow = computed(on_gpu(follow))


def watch(visit: Visit) -> Step:
    """Shows the progress of one job, and lets others go first between its frames.

    It ends when the visitor stops it, leaves, or it takes too long; waiting does not count.
    """
    session, progress = visit.session, gr.Progress()
    session.stopped.clear()
    end = time.monotonic() + MAX_SECONDS

    def step(what: str, done: int, total: int) -> None:
        nonlocal end
        end += visit.page.turns.pause()
        if session.stopped.is_set():
            raise ConfigError("stopped: nothing was made")
        if time.monotonic() > end:
            raise ConfigError(f"this takes more than {MAX_SECONDS} seconds here: ask for a shorter video")
        progress((done, total), desc=what, unit="frames")

    return step


def film(
    visit: Visit,
    frames: Iterable[Image.Image],
    count: int,
    fps: float,
    sound: np.ndarray | None = None,
) -> str:
    """Writes frames as they come, as a marked video."""
    path, step = visit.session.new_file(VIDEO), watch(visit)
    step("Rendering", 0, count)
    write_video(frames, path, fps, on_frame=lambda done: step("Rendering", done, count), sound=sound)
    return str(path)


def read_motion(visit: Visit, video: Upload) -> Motion:
    """How a face moves in an uploaded video; no file of it stays."""
    with visit.session.file(video) as path:
        found = _follow(visit.sep, path, DRIVE_FPS, DRIVE_SECONDS)
        return motion_of(found, path, DRIVE_FPS, DRIVE_SECONDS, watch(visit))
