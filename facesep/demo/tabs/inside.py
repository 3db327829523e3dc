"""The tab Look inside: what was found in a photo, and its codes."""

from __future__ import annotations

import gradio as gr

from facesep.demo import inside
from facesep.demo.limits import KEEP_CODES
from facesep.demo.page import FACE, PICTURE, Page, Visit
from facesep.demo.widgets import LABELS, picture_box
from facesep.errors import ConfigError

INTRO = (
    "What the model sees in a photo: the crop with five points, the part it takes for the head, and the "
    "seven codes, one bar for each number."
)

MADE = "This face is a result: there is no photo of it to look into. Its codes can be downloaded."


class Inside:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(min_width=160):
                points = picture_box("inside-points", "Crop and points", download=False)
            with gr.Column(min_width=160):
                head = picture_box("inside-head", "What counts as the head", download=False)
        report = gr.HTML(elem_id="inside-report")
        keep = gr.Checkbox(label=KEEP_CODES, elem_id="inside-keep")
        prepare = gr.Button("Prepare the codes for download", interactive=False, elem_id="inside-prepare")
        download = gr.DownloadButton(
            "Download the codes (.safetensors)", interactive=False, elem_id="inside-download"
        )
        self.outputs = [points, head, report, prepare, download, keep]
        page.on(prepare.click, self.codes, [keep], download)

    def empty(self, visit: Visit) -> tuple:
        """Nothing."""
        closed = gr.update(interactive=False)
        return None, None, "", closed, closed, False

    def start(self, visit: Visit) -> tuple:
        """Both pictures, the report, and buttons; the permission to keep codes must be given anew."""
        subject, closed = visit.kept[FACE], gr.update(interactive=False)
        if subject.aligned is None:
            return None, None, MADE, gr.update(interactive=True), closed, False
        points = visit.session.write("points.png", inside.landmarks(subject.aligned))
        head = visit.session.write(PICTURE, inside.head(visit.sep, subject))
        report = inside.report(subject, LABELS, inside.overlap(visit.sep, subject))
        return str(points), str(head), report, gr.update(interactive=True), closed, False

    def codes(self, visit: Visit, keep: bool) -> dict:
        """Gives the download button its file, once the visitor says that the codes may be kept."""
        if keep is not True:
            raise ConfigError(
                "the codes identify a person: tick the box above the button if you may keep them"
            )
        path = visit.write_codes(visit.face().codes, include_identity=True)
        return gr.update(value=str(path), interactive=True)
