"""The tab Turn: the head from other sides, as a picture or as a video."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr

from facesep.demo import actions, jobs
from facesep.demo.limits import MAX_FRAMES, MAX_PITCH, MAX_YAW, check_range
from facesep.demo.links import LINKED_VIEW
from facesep.demo.page import FACE, FILMS, PICTURE, Page, Visit
from facesep.demo.stage import HINT, VIEW, picture, stage
from facesep.demo.widgets import video_box

TURNED = "turned"
"""Where a visit keeps the turned face."""


class Turn:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        gr.Markdown(f"{HINT}.")
        self.stage = stage(TURNED)
        self.view = [
            gr.Slider(-MAX_YAW, MAX_YAW, 0, step=1, label="Left and right, in degrees", elem_id="yaw"),
            gr.Slider(-MAX_PITCH, MAX_PITCH, 0, step=1, label="Up and down, in degrees", elem_id="pitch"),
        ]
        moving = gr.Checkbox(visible=False)
        with gr.Row(elem_classes="onward"):
            download = gr.DownloadButton(
                "Download", interactive=False, min_width=90, elem_id="turned-download"
            )
            onward = page.face.onward("turn", TURNED)
        with gr.Row():
            reach = gr.Slider(
                5, MAX_YAW, 40, step=5, label="Turn of the video, in degrees to each side", min_width=240
            )
            frames = gr.Slider(
                30, MAX_FRAMES, 60, step=30, label="Frames of the video, 30 a second", min_width=240
            )
        with gr.Row():
            button = page.gate(
                gr.Button("Make the video", variant="primary", interactive=False, elem_id="orbit-button")
            )
            stop = gr.Button("Stop", elem_id="orbit-stop")
        video = video_box("video", "Turning head")
        shown = [self.stage, download, *onward]
        self.outputs = [*self.view, *shown, video]
        self.remake = (self.turn, self.view, shown)
        options = {"trigger_mode": "always_last", "show_progress": "hidden"}
        page.on([slider.input for slider in self.view], *self.remake, **options)
        page.on(self.stage.turn, self.drag, [*self.view, moving], [*self.view, *shown], js=VIEW, **options)
        page.stops(stop, [page.on(button.click, self.orbit, [reach, frames], video, **FILMS)])

    def start(self, visit: Visit) -> tuple:
        """For a new face: its own view or that of a link, and its picture; no video."""
        linked = visit.kept.pop(LINKED_VIEW, (None, None))
        own = actions.angles(visit.face().codes)
        view = [round(angle) if set_ is None else set_ for angle, set_ in zip(own, linked, strict=True)]
        return *view, *self.turn(visit, *linked), None

    def empty(self, visit: Visit) -> tuple:
        """No picture and no video."""
        visit.kept.pop(TURNED, None)
        closed = gr.update(interactive=False)
        return 0, 0, None, *[closed] * (len(self.outputs) - 4), None

    def turn(self, visit: Visit, yaw: float | None, pitch: float | None) -> tuple:
        """Gives the picture from another view and opens the buttons; nothing as long as there is no face."""
        if not visit.has_face():
            return (gr.skip(),) * (len(self.outputs) - 3)
        face = turned(visit.shown(visit.kept[FACE]), yaw, pitch)
        visit.kept[TURNED] = face
        data = actions.picture(visit.sep, face, look=apart(visit))
        path = str(visit.session.write(PICTURE, data))
        opened = [gr.update(interactive=True)] * (len(self.outputs) - 5)
        return picture(data), gr.update(value=path, interactive=True), *opened

    def drag(self, visit: Visit, yaw: float, pitch: float, moving: bool) -> tuple:
        """The same with the sliders; a small picture alone while the head is being dragged.

        Only a head that shows can be dragged: without a face, it is no longer kept.
        """
        subject = visit.face(which="your photo")
        if moving is not True:
            return yaw, pitch, *self.turn(visit, yaw, pitch)
        face = turned(subject.face, yaw, pitch)
        data = actions.preview(visit.sep, face, visit.look)
        return yaw, pitch, picture(data), *[gr.skip()] * (len(self.outputs) - 4)

    def orbit(self, visit: Visit, yaw: float, frames: int) -> str:
        """Gives the video."""
        face = visit.face(which="your photo").face
        pictures = actions.orbit(visit.sep, face, yaw=yaw, frames=frames, look=visit.look)
        return jobs.film(visit, pictures, int(frames), 30)


def apart(visit: Visit) -> actions.Look:
    """How heads are shown that turn too far for their photo."""
    return visit.look.on("white") if visit.look.background == "keep" else visit.look


def turned(face: actions.Face, yaw: float | None, pitch: float | None) -> Any:
    """A face with another yaw and pitch in degrees; None keeps its own."""
    rotation = actions.codes_of(face).rotation.clone()
    for place, value, name, most in ((1, yaw, "yaw", MAX_YAW), (0, pitch, "pitch", MAX_PITCH)):
        if value is not None:
            rotation[place] = math.radians(check_range(name, value, -most, most))
    return face.replace(rotation=rotation)
