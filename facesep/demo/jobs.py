"""What takes long: videos, read and made with progress, until somebody stops it."""

from __future__ import annotations

import time
from collections.abc import Iterable

import gradio as gr
import numpy as np
from PIL import Image

from facesep.demo import driving
from facesep.demo.driving import Motion, Step
from facesep.demo.limits import MAX_SECONDS
from facesep.demo.sessions import Session
from facesep.demo.uploads import Upload
from facesep.errors import ConfigError
from facesep.model import FaceSep
from facesep.provenance import write_video

VIDEO = "facesep.mp4"
"""Name under which videos are downloaded."""


def watch(session: Session) -> Step:
    """Shows the progress of one job, and ends it when the visitor stops it, leaves, or it takes too long."""
    session.stopped.clear()
    end, progress = time.monotonic() + MAX_SECONDS, gr.Progress()

    def step(what: str, done: int, total: int) -> None:
        if session.stopped.is_set():
            raise ConfigError("stopped: nothing was made")
        if time.monotonic() > end:
            raise ConfigError(f"this takes more than {MAX_SECONDS} seconds here: ask for a shorter video")
        progress((done, total), desc=what, unit="frames")

    return step


def film(
    session: Session,
    frames: Iterable[Image.Image],
    count: int,
    fps: float,
    sound: np.ndarray | None = None,
) -> str:
    """Writes frames as they come, as a marked video."""
    path, step = session.new_file(VIDEO), watch(session)
    step("Rendering", 0, count)
    write_video(frames, path, fps, on_frame=lambda done: step("Rendering", done, count), sound=sound)
    return str(path)


def read_motion(sep: FaceSep, session: Session, video: Upload) -> Motion:
    """How a face moves in an uploaded video; no file of it stays."""
    with session.file(video) as path:
        return driving.read_motion(sep, path, watch(session))
