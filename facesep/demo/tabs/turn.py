"""The tab Turn: the head from other sides, as a picture or as a video."""

from __future__ import annotations

from typing import Any

import gradio as gr

from facesep.codes import Codes
from facesep.demo import actions, jobs
from facesep.demo.limits import MAX_FRAMES, MAX_PITCH, MAX_YAW
from facesep.demo.links import LINKED_VIEW
from facesep.demo.page import FILMS, Page, Visit
from facesep.demo.photos import Subject
from facesep.demo.widgets import PhotoBox, Result, picture_box, video_box
from facesep.detail import Portrait
from facesep.errors import ImageError


class Turn:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        self.page = page
        with gr.Row():
            with gr.Column(min_width=160):
                self.photo = PhotoBox(page, "turn", "Photo of the face to turn")
            with gr.Column(min_width=160):
                picture = picture_box("turned", "The turned head")
        self.view = [
            gr.Slider(-MAX_YAW, MAX_YAW, 0, step=1, label="Left and right, in degrees", elem_id="yaw"),
            gr.Slider(-MAX_PITCH, MAX_PITCH, 0, step=1, label="Up and down, in degrees", elem_id="pitch"),
        ]
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
        self.outputs = [*self.view, picture, video]
        self.photo.then(self.start, self.outputs)
        page.on(
            [slider.input for slider in self.view],
            self.turn,
            self.view,
            picture,
            trigger_mode="always_last",
            show_progress="hidden",
        )
        page.stops(stop, [page.on(button.click, self.orbit, [reach, frames], video, **FILMS)])

    def bring(self, result: Result, tabs: gr.Tabs, note: str) -> None:
        """Lets the button below a result of another tab bring it here."""

        def bring(visit: Visit) -> tuple:
            face = visit.kept.get(result.place)
            if not isinstance(face, Portrait | Codes):
                raise ImageError("there is no result yet: make one first")
            _, picker, _, button = self.photo.clear(visit)
            visit.kept["turn"] = Subject(face)
            return (gr.update(selected="turn"), None, picker, note, button, *self.start(visit))

        self.page.on(result.turn.click, bring, [], [tabs, *self.photo.parts, *self.outputs])

    def start(self, visit: Visit) -> tuple:
        """After a new face: its own view or that of a link, as yaw, pitch and picture; no video."""
        subject = visit.kept.get("turn")
        if not isinstance(subject, Subject):
            return gr.skip(), gr.skip(), None, None
        linked = visit.kept.pop(LINKED_VIEW, (None, None))
        picture = visit.picture(visit.shown(subject), *linked)
        own = actions.angles(subject.codes)
        view = [round(angle) if set_ is None else set_ for angle, set_ in zip(own, linked, strict=True)]
        return *view, str(picture), None

    def turn(self, visit: Visit, yaw: float, pitch: float) -> Any:
        """Gives the picture from another view; nothing as long as there is no face."""
        subject = visit.kept.get("turn")
        if not isinstance(subject, Subject):
            return gr.skip()
        return str(visit.picture(visit.shown(subject), yaw, pitch))

    def orbit(self, visit: Visit, yaw: float, frames: int) -> str:
        """Gives the video."""
        face = visit.face("turn").face
        pictures = actions.orbit(visit.sep, face, yaw=yaw, frames=frames, look=visit.look)
        return jobs.film(visit, pictures, int(frames), 30)
