"""The tab Drive: a short video moves the expression and the head of a photo."""

from __future__ import annotations

import gradio as gr

from facesep.demo import actions, jobs, live
from facesep.demo.limits import DRIVE_FPS, DRIVE_SECONDS, check_consent
from facesep.demo.page import FILMS, Page, Visit, sentence
from facesep.demo.widgets import LABELS, video_box
from facesep.driving import MOVES, Motion
from facesep.errors import ConfigError, FaceSepError, ImageError

INTRO = (
    "Upload a short video of a face, or record one with the camera. The face of your photo then "
    f"moves like the one in the video. The first {DRIVE_SECONDS} seconds count."
)


class Drive:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        gr.Markdown(INTRO)
        attributes = gr.CheckboxGroup(
            [(LABELS[name], name) for name in MOVES],
            value=list(MOVES),
            label="What the video moves",
            elem_id="drive-attributes",
        )
        relative = gr.Checkbox(
            label="Move from where the photo is, by what changes in the video", elem_id="drive-relative"
        )
        gr.Markdown("**Live from the webcam.** No frame is kept.")
        with gr.Row():
            begin = page.gate(gr.Button("Start the webcam", interactive=False, elem_id="live-start"))
            end = gr.Button("Stop the webcam", elem_id="live-stop")
            size = gr.Dropdown(
                [(f"{size} pixels", size) for size in live.SIZES],
                value=live.SIZES[0],
                label="Size",
                filterable=False,
                min_width=120,
                elem_id="live-size",
            )
        newest = gr.Textbox(visible=False)
        stage, told = live.stage(), gr.Markdown(elem_id="live-note")
        quick = {"queue": False, "api_visibility": "private"}
        page.on(begin.click, self.begin, [], [stage, told], queue=False).success(
            None, None, None, js="() => { window.facesepLive.start(); }", **quick
        )
        end.click(None, None, None, js="() => { window.facesepLive.stop(); }", **quick)
        page.on(
            stage.frame,
            self.live,
            [newest, attributes, relative, size, page.consent],
            [newest, stage, told],
            consent=False,
            js=live.FRAME,
            trigger_mode="multiple",
            show_progress="hidden",
        )
        gr.Markdown("**From a video**")
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
        # Without the live picture: after an update that skips it, gradio would go on remembering its value.
        self.outputs = [result, told]

    def start(self, visit: Visit) -> tuple:
        """Nothing is made before the button is pressed."""
        return gr.skip(), gr.skip()

    def empty(self, visit: Visit) -> tuple:
        """No video; what the webcam shows begins anew."""
        return self.begin(visit)

    def begin(self, visit: Visit) -> tuple[None, str]:
        """Forgets what was followed, before the webcam starts and when it has ended."""
        visit.kept.pop(live.LIVE, None)
        return None, ""

    def live(
        self, visit: Visit, frame: str, attributes: list[str], relative: bool, size: int, consent: bool
    ) -> tuple[str, str | None, str]:
        """Gives nothing in place of the frame, and the picture that it moved; an empty frame ends it."""
        if not frame or not visit.has_face():
            return "", *self.begin(visit)
        check_consent(consent)
        if size not in live.SIZES:
            raise ConfigError(f"size must be one of {live.SIZES}")
        return "", *live.step(visit, live.frame(frame), attributes, relative is True, size)

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
        face, motion = visit.face(which="your photo").face, visit.kept.get("motion")
        if not isinstance(motion, Motion):
            raise ImageError("the video is missing: upload or record one first")
        frames = actions.drive(visit.sep, face, motion, attributes, relative is True, visit.look)
        heard = motion.sound if sound is True else None
        return jobs.film(visit, frames, len(motion), DRIVE_FPS, heard)
