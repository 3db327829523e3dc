"""The tab Drive: a short video moves the expression and the head of a photo."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from facesep.demo import jobs
from facesep.demo.actions import sentence
from facesep.demo.driving import MOVES, Motion
from facesep.demo.handlers import Handlers, plain_errors
from facesep.demo.limits import DRIVE_SECONDS, check_consent
from facesep.demo.uploads import suffix_of, take
from facesep.demo.widgets import GROUP, LABELS, photo_box, result_video, stop_button
from facesep.errors import FaceSepError, ImageError

INTRO = (
    "Upload a photo and a short video of a face, or record one with the camera. The face of the photo then "
    f"moves like the one in the video. The first {DRIVE_SECONDS} seconds count."
)


class Drive:
    """The tab with its events."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers

    def add(self, consent: gr.Checkbox) -> list[Any]:
        """Lays the tab out; gives what consent enables."""
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(min_width=160):
                photo = photo_box(self.handlers, "drive", "Photo of the face to move", consent)
            with gr.Column(min_width=160):
                video = gr.Video(
                    label="Video of a moving face",
                    sources=["upload", "webcam"],
                    include_audio=False,
                    interactive=False,
                    height=300,
                    buttons=[],
                    elem_id="drive-video",
                )
                note = gr.Markdown(elem_id="drive-video-note")
        attributes = gr.CheckboxGroup(
            [(LABELS[name], name) for name in MOVES],
            value=list(MOVES),
            label="What the video moves",
            elem_id="drive-attributes",
        )
        with gr.Row():
            button = gr.Button("Move the face", variant="primary", interactive=False, elem_id="drive-button")
            stop = gr.Button("Stop", elem_id="drive-stop")
        result = result_video("driven", "The moving face")
        reading = gr.on(
            [video.upload, video.stop_recording],
            plain_errors(self.read),
            [video, consent],
            [video, note],
            preprocess=False,
            **GROUP,
        )
        making = button.click(plain_errors(self.drive), [attributes, consent], result, **GROUP)
        stop_button(stop, self.handlers, [reading, making])
        return [photo.box, video, button]

    def read(
        self,
        payload: dict | None,
        consent: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 gradio finds it by its default
    ) -> tuple[None, str]:
        """Reads how the face moves, deletes the video, and says what was found."""
        session = self.handlers.sessions.get(request.session_hash)
        session.kept.pop("motion", None)
        file = payload.get("video", payload) if isinstance(payload, dict) else None
        try:
            (data,) = take(self.handlers.uploads, file)
            check_consent(consent)
            motion = jobs.read_motion(self.handlers.model(session), session, data, suffix_of(file), progress)
        except FaceSepError as error:
            return None, f"**{html.escape(sentence(str(error)), quote=False)}**"
        session.kept["motion"] = motion
        missed = f" {motion.missed} of them showed no face and were filled in." if motion.missed else ""
        return None, f"{len(motion)} frames of the video were read, then it was deleted.{missed}"

    def drive(
        self,
        attributes: list[str],
        consent: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 gradio finds it by its default
    ) -> str:
        """Gives the video."""
        check_consent(consent)
        session = self.handlers.sessions.get(request.session_hash)
        codes = self.handlers.face(session, "drive").codes
        motion = session.kept.get("motion")
        if not isinstance(motion, Motion):
            raise ImageError("the video is missing: upload or record one first")
        sep, refine = self.handlers.model(session), self.handlers.refine(session)
        return jobs.drive(sep, session, codes, motion, attributes, progress, refine)
