"""Layout of the page and its wiring; what happens is in :mod:`~facesep.demo.handlers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from facesep.codes import ATTRIBUTES
from facesep.demo.api import endpoints
from facesep.demo.examples import EXAMPLES, FOLDER
from facesep.demo.handlers import Handlers, plain_errors
from facesep.demo.limits import (
    CONSENT,
    KEEP_SECONDS,
    MAX_PITCH,
    MAX_STRENGTH,
    MAX_UPLOAD,
    MAX_YAW,
    QUEUE,
    SWEEP_SECONDS,
)
from facesep.demo.models import Models
from facesep.demo.sessions import Sessions
from facesep.demo.share import Fields, Share
from facesep.demo.switches import add_switches
from facesep.demo.tabs.drive import Drive
from facesep.demo.tabs.edit import Edit
from facesep.demo.tabs.inside import Inside
from facesep.demo.tabs.mix import Mix
from facesep.demo.tabs.verify import Verify
from facesep.demo.uploads import Arrivals
from facesep.demo.vanished import Vanished
from facesep.demo.widgets import (
    GROUP,
    LABELS,
    Photo,
    difference_view,
    photo_box,
    result_slider,
    result_video,
    stop_button,
)
from facesep.model import FaceSep

INTRO = """# facesep
Take an expression, a hairstyle or the light from one face and put it on another, then turn the head.
A machine makes the results: they are soft, they are guesses where the photo shows nothing, and each file
says in itself that a machine made it.
"""
PRIVACY = f"""A photo is read once, and its file is then deleted. What the page keeps of it is deleted when
you close the page, at the latest after {KEEP_SECONDS // 60} minutes without use. Nothing is logged.
The example photos are from the Face Research Lab London Set (DeBruine and Jones, 2017; CC BY 4.0).
"""
CSS = """
.gradio-container {max-width: 1000px !important; margin: 0 auto}
.image-frame, .image-frame img {width: 100% !important; height: 100% !important; object-fit: contain}
#fit .info-text, #refine .info-text {opacity: 1; color: var(--body-text-color)}
footer > .divider:last-of-type {display: none}
@media (max-width: 640px) {
  .gradio-container .app {padding: 12px !important}
  #examples th, #examples td {padding: 4px !important; white-space: normal !important}
}
"""
_FONTS = ["system-ui", "sans-serif"]


def launch_options() -> dict[str, Any]:
    """Arguments for ``launch``. The theme uses fonts of the visitor's system, so none is fetched."""
    return {
        "max_file_size": MAX_UPLOAD,
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        "ssr_mode": False,
        "footer_links": ["api"],
        "theme": gr.themes.Default(font=_FONTS, font_mono=["ui-monospace", "monospace"]),
        "css": CSS,
        "app_kwargs": {"middleware": [Middleware(Arrivals), Middleware(Vanished)]},
    }


def build_page(model: FaceSep | Models, sessions: Sessions | None = None) -> gr.Blocks:
    """The page.

    Args:
        model: the model, or several to choose from.
        sessions: what is kept of each visit; by default in gradio's folder of temporary files.
    """
    gr.set_static_paths([FOLDER])
    with gr.Blocks(
        title="facesep", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)
    ) as page:
        sessions = sessions or Sessions(page.GRADIO_CACHE)
        handlers = Handlers(model, sessions, page.GRADIO_CACHE)
        models = handlers.models
        for name, endpoint in endpoints(handlers).items():  # before the page's events take their names
            gr.api(endpoint, api_name=name, concurrency_id="model", concurrency_limit=1)
        gr.Markdown(INTRO)
        consent = gr.Checkbox(label=CONSENT, elem_id="consent")
        chosen = gr.Dropdown(
            models.names,
            value=models.names[0],
            label="Model (photos must be uploaded again after a change)",
            filterable=False,
            visible=len(models.names) > 1,
            elem_id="model",
        )
        with gr.Tabs() as tabs:
            with gr.Tab("Transfer", id="transfer"):
                transfer = _transfer_tab(handlers, consent)
            with gr.Tab("Mix", id="mix"):
                mixing = Mix(handlers)
                mix, turn_mix = mixing.add(consent)
            with gr.Tab("Turn", id="turn"):
                turn = _turn_tab(handlers, consent)
            with gr.Tab("Edit", id="edit"):
                editing = Edit(handlers)
                edit, turn_edit = editing.add(consent)
            with gr.Tab("Drive", id="drive"):
                drive = Drive(handlers).add(consent)
            with gr.Tab("Look inside", id="inside"):
                inside = Inside(handlers).add(consent)
            with gr.Tab("Verify", id="verify"):
                Verify(handlers).add()
        add_switches(models.first, sessions)
        fields = Fields(
            tabs,
            chosen,
            transfer.attributes,
            transfer.strength,
            mixing.choices,
            turn.view,
            editing.sliders,
        )
        Share(handlers).add(page, fields)
        gr.Markdown(PRIVACY)

        gated = [*transfer.gated, *turn.gated, *mix, *edit, *drive, *inside]
        consent.change(handlers.allow(len(gated)), consent, gated, queue=False, api_visibility="private")
        photos = [one for one in gated if isinstance(one, gr.Image)]
        chosen.input(handlers.switcher(len(photos)), chosen, photos, **GROUP)
        for button, place, note in (
            (transfer.turn, "result", "This is the result of the transfer."),
            (turn_mix, "mixed", "This is the result of the mix."),
            (turn_edit, "edited", "This is the edited face."),
        ):
            button.click(
                handlers.turner(place, note), consent, [tabs, *turn.photo.parts, *turn.outputs], **GROUP
            )
        page.unload(handlers.leave)
    sessions.sweep_always()
    return page.queue(max_size=QUEUE, default_concurrency_limit=1, api_open=False)


@dataclass
class _Transfer:
    gated: list[Any]
    turn: gr.Button
    attributes: gr.CheckboxGroup
    strength: gr.Slider


@dataclass
class _Turn:
    gated: list[Any]
    photo: Photo
    outputs: list[Any]
    view: list[gr.Slider]


def _transfer_tab(handlers: Handlers, consent: gr.Checkbox) -> _Transfer:
    with gr.Row():
        with gr.Column(min_width=160):
            source = photo_box(handlers, "source", "First photo: the face to change", consent)
        with gr.Column(min_width=160):
            donor = photo_box(handlers, "donor", "Second photo: the face to take from", consent)
    attributes = gr.CheckboxGroup(
        [(LABELS[name], name) for name in ATTRIBUTES],
        value=["expression"],
        label="What to take from the second face",
        elem_id="attributes",
    )
    strength = gr.Slider(
        0, MAX_STRENGTH, 1, step=0.05, label="Strength (1 is the second face's, above 1 exaggerates)"
    )
    button = gr.Button("Transfer", variant="primary", interactive=False, elem_id="transfer-button")
    result = result_slider("result")
    with gr.Row():
        download = gr.DownloadButton("Download the result", interactive=False, elem_id="download")
        turn = gr.Button("Turn this face", interactive=False, elem_id="turn-result")
    difference_view(handlers, "source", "result", result)
    examples = gr.Dataset(
        label="Examples: click one",
        components=["image", "image", "textbox"],
        headers=["First", "Second", "Taken from the second"],
        samples=[
            [str(FOLDER / one.source), str(FOLDER / one.donor), ", ".join(LABELS[a] for a in one.attributes)]
            for one in EXAMPLES
        ],
        type="index",
        elem_id="examples",
    )

    options, outputs = [attributes, strength, consent], [result, download, turn]
    button.click(plain_errors(handlers.transfer), options, outputs, **GROUP)
    gr.on(
        [attributes.input, strength.release],
        plain_errors(handlers.retransfer),
        options,
        outputs,
        trigger_mode="always_last",
        show_progress="minimal",
        **GROUP,
    )
    examples.click(
        plain_errors(handlers.example),
        [examples, consent],
        [*source.parts, *donor.parts, attributes, strength, *outputs],
        **GROUP,
    )
    return _Transfer([source.box, donor.box, button], turn, attributes, strength)


def _turn_tab(handlers: Handlers, consent: gr.Checkbox) -> _Turn:
    with gr.Row():
        with gr.Column(min_width=160):
            photo = photo_box(handlers, "turn", "Photo of the face to turn", consent)
        with gr.Column(min_width=160):
            picture = gr.Image(
                label="The turned head",
                type="filepath",
                height=300,
                interactive=False,
                buttons=["download", "fullscreen"],
                elem_id="turned",
            )
    yaw = gr.Slider(-MAX_YAW, MAX_YAW, 0, step=1, label="Left and right, in degrees", elem_id="yaw")
    pitch = gr.Slider(-MAX_PITCH, MAX_PITCH, 0, step=1, label="Up and down, in degrees", elem_id="pitch")
    with gr.Row():
        reach = gr.Slider(
            5, MAX_YAW, 40, step=5, label="Turn of the video, in degrees to each side", min_width=240
        )
        frames = gr.Slider(30, 120, 60, step=30, label="Frames of the video, 30 a second", min_width=240)
    with gr.Row():
        button = gr.Button("Make the video", variant="primary", interactive=False, elem_id="orbit-button")
        stop = gr.Button("Stop", elem_id="orbit-stop")
    video = result_video("video", "Turning head")

    outputs = [yaw, pitch, picture, video]
    for read in photo.read:
        read.then(plain_errors(handlers.face_to_turn), None, outputs, **GROUP)
    gr.on(
        [yaw.input, pitch.input],
        plain_errors(handlers.turn),
        [yaw, pitch, consent],
        picture,
        trigger_mode="always_last",
        show_progress="hidden",
        **GROUP,
    )
    making = button.click(plain_errors(handlers.orbit), [reach, frames, consent], video, **GROUP)
    stop_button(stop, handlers, [making])
    return _Turn([photo.box, button], photo, outputs, [yaw, pitch])
