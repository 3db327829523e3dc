"""The tab Drive: a short video moves the expression and the head of a photo."""

from __future__ import annotations

import gradio as gr

from facesep.demo import actions, jobs
from facesep.demo.limits import DRIVE_FPS, DRIVE_SECONDS, check_consent
from facesep.demo.page import FILMS, Page, Visit, sentence
from facesep.demo.widgets import LABELS, PhotoBox, video_box
from facesep.driving import MOVES, Motion
from facesep.errors import FaceSepError, ImageError

INTRO = (
    "Upload a photo and a short video of a face, or record one with the camera. The face of the photo then "
    f"moves like the one in the video. The first {DRIVE_SECONDS} seconds count."
)


class Drive:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(min_width=160):
                PhotoBox(page, "drive", "Photo of the face to move")
            with gr.Column(min_width=160):
                video = page.gate(
                    gr.Video(
                        label="Video of a moving face",
                        sources=["upload", "webcam"],
                        include_audio=False,
                        interactive=False,
                        height=300,
                        buttons=[],
                        elem_id="drive-video",
                    )
                )
                note = gr.Markdown(elem_id="drive-video-note")
        attributes = gr.CheckboxGroup(
            [(LABELS[name], name) for name in MOVES],
            value=list(MOVES),
            label="What the video moves",
            elem_id="drive-attributes",
        )
        relative = gr.Checkbox(
            label="Move from where the photo is, by what changes in the video", elem_id="drive-relative"
        )
        sound = gr.Checkbox(label="Keep the sound of the video", value=True, elem_id="drive-sound")
        reading = page.on(
            [video.upload, video.stop_recording],
            self.read,
            [video, page.consent],
            [video, note],
            consent=False,
            preprocess=False,
            **FILMS,
        )
        with gr.Row():
            button = page.gate(
                gr.Button("Move the face", variant="primary", interactive=False, elem_id="drive-button")
            )
            stop = gr.Button("Stop", elem_id="drive-stop")
        result = video_box("driven", "The moving face")
        page.stops(
            stop, [reading, page.on(button.click, self.drive, [attributes, relative, sound], result, **FILMS)]
        )

    def read(self, visit: Visit, payload: dict | None, consent: bool) -> tuple[None, str]:
        """Reads how the face moves, deletes the video, and says what was found."""
        visit.kept.pop("motion", None)
        try:
            (video,) = visit.take(payload.get("video", payload) if isinstance(payload, dict) else None)
            check_consent(consent)
            motion = visit.kept["motion"] = jobs.read_motion(visit, video)
        except FaceSepError as error:
            return None, f"**{sentence(error)}**"
        read = f"{len(motion)} frames ({len(motion) / DRIVE_FPS:.1f} s)"
        note = f"{read} of the video were read, then it was deleted."
        if motion.missed:
            note += f" {motion.missed} of them showed no face and were filled in."
        if motion.sound is None:
            note += " It has no sound, or none that can be read."
        return None, note

    def drive(self, visit: Visit, attributes: list[str], relative: bool, sound: bool) -> str:
        """Gives the video."""
        face, motion = visit.face("drive").face, visit.kept.get("motion")
        if not isinstance(motion, Motion):
            raise ImageError("the video is missing: upload or record one first")
        frames = actions.drive(visit.sep, face, motion, attributes, relative is True, visit.look)
        heard = motion.sound if sound is True else None
        return jobs.film(visit, frames, len(motion), DRIVE_FPS, heard)
