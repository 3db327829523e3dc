"""What takes long: videos, made with progress, in the folder of a visit, until somebody stops it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import Any

import gradio as gr

from facesep.codes import Codes
from facesep.demo import actions, driving
from facesep.demo.driving import Motion, Step
from facesep.demo.limits import MAX_SECONDS
from facesep.demo.sessions import Session
from facesep.errors import ConfigError
from facesep.model import FaceSep

VIDEO = "facesep.mp4"
"""Name under which videos are downloaded."""


def watch(session: Session, progress: gr.Progress) -> Step:
    """Shows the progress of one job, and ends it when the visitor stops it, leaves, or it takes too long."""
    session.stopped.clear()
    end = time.monotonic() + MAX_SECONDS

    def step(what: str, done: int, total: int) -> None:
        if session.stopped.is_set():
            raise ConfigError("stopped: nothing was made")
        if time.monotonic() > end:
            raise ConfigError(f"this takes more than {MAX_SECONDS} seconds here: ask for a shorter video")
        progress((done, total), desc=what, unit="frames")

    return step


def film(sep: FaceSep, session: Session, codes: Codes, progress: gr.Progress, **options: Any) -> str:
    """The turning head; options are those of :func:`~facesep.demo.actions.orbit`."""
    total = int(options.get("frames", 60))
    path = session.new_file(VIDEO)
    step = watch(session, progress)
    step("Rendering", 0, total)
    actions.orbit(sep, codes, path, on_frame=lambda done: step("Rendering", done, total), **options)
    return str(path)


def read_motion(sep: FaceSep, session: Session, data: bytes, suffix: str, progress: gr.Progress) -> Motion:
    """How a face moves in an uploaded video; no file of it stays."""
    folder = session.new_folder()
    try:
        path = folder / f"video{suffix}"
        path.write_bytes(data)
        return driving.read_motion(sep, path, watch(session, progress))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def drive(
    sep: FaceSep,
    session: Session,
    codes: Codes,
    motion: Motion,
    attributes: Sequence[str],
    progress: gr.Progress,
    refine: bool = False,
) -> str:
    """The moving face."""
    path = session.new_file(VIDEO)
    driving.drive(sep, codes, motion, path, attributes, watch(session, progress), refine)
    return str(path)
