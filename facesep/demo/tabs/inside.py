"""The tab Look inside: what was found in a photo, and its codes."""

from __future__ import annotations

from typing import Any

import gradio as gr

from facesep.demo import inside
from facesep.demo.actions import Subject
from facesep.demo.handlers import CODES, PICTURE, Handlers, plain_errors
from facesep.demo.limits import KEEP_CODES, check_consent
from facesep.demo.widgets import GROUP, LABELS, photo_box
from facesep.errors import ConfigError

INTRO = (
    "What the model sees in a photo: the crop with five points, the part it takes for the head, and the "
    "seven codes, one bar for each number."
)


class Inside:
    """The tab with its events."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers

    def add(self, consent: gr.Checkbox) -> list[Any]:
        """Lays the tab out; gives what consent enables."""
        gr.Markdown(INTRO)
        photo = photo_box(self.handlers, "inside", "Photo to look into", consent)
        with gr.Row():
            points = self._picture("Crop and points", "inside-points")
            head = self._picture("What counts as the head", "inside-head")
        report = gr.HTML(elem_id="inside-report")
        keep = gr.Checkbox(label=KEEP_CODES, elem_id="inside-keep")
        prepare = gr.Button("Prepare the codes for download", interactive=False, elem_id="inside-prepare")
        download = gr.DownloadButton(
            "Download the codes (.safetensors)", interactive=False, elem_id="inside-download"
        )
        for event in photo.read:
            event.then(
                plain_errors(self.look), None, [points, head, report, prepare, download, keep], **GROUP
            )
        prepare.click(plain_errors(self.codes), [keep, consent], download, **GROUP)
        return [photo.box]

    @staticmethod
    def _picture(label: str, name: str) -> gr.Image:
        with gr.Column(min_width=160):
            return gr.Image(
                label=label,
                type="filepath",
                height=300,
                interactive=False,
                buttons=["fullscreen"],
                elem_id=name,
            )

    def look(self, request: gr.Request) -> tuple:
        """Both pictures, the report, and buttons; the permission to keep codes must be given anew."""
        session = self.handlers.sessions.get(request.session_hash)
        subject = session.kept.get("inside")
        closed = gr.update(interactive=False)
        if not isinstance(subject, Subject) or subject.cut is None:
            return None, None, "", closed, closed, False
        points = session.write("points.png", inside.landmarks(subject.cut))
        head = session.write(PICTURE, inside.head(self.handlers.model(session), subject))
        report = inside.report(subject, LABELS)
        return str(points), str(head), report, gr.update(interactive=True), closed, False

    def codes(self, keep: bool, consent: bool, request: gr.Request) -> dict:
        """Gives the download button its file, once the visitor says that the codes may be kept."""
        check_consent(consent)
        if keep is not True:
            raise ConfigError(
                "the codes identify a person: tick the box above the button if you may keep them"
            )
        session = self.handlers.sessions.get(request.session_hash)
        codes = self.handlers.face(session, "inside").codes
        path = session.new_file(CODES)
        codes.save(path, include_identity=True)
        return gr.update(value=str(path), interactive=True)
