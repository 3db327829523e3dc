"""Parts of the page that several tabs have: a box for a photo, names of attributes, a place in the queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from facesep.demo.handlers import Handlers

LABELS = {
    "shape": "Shape of the head",
    "expression": "Expression",
    "texture": "Skin",
    "illumination": "Light",
    "hair": "Hairstyle",
    "rotation": "Turn of the head",
    "translation": "Place in the picture",
}
"""What the page calls the attributes."""
GROUP = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}
"""Everything that computes shares one place in the queue."""


@dataclass
class Photo:
    """A box for a photo with its face picker and its note.

    Attributes:
        read: the events after which there may be another face.
    """

    box: gr.Image
    picker: gr.Radio
    note: gr.Markdown
    read: list[Any]

    @property
    def parts(self) -> list[Any]:
        """Box, picker and note."""
        return [self.box, self.picker, self.note]


def photo_box(handlers: Handlers, place: str, label: str, consent: gr.Checkbox, height: int = 300) -> Photo:
    """A place on the page where one photo goes; its face is kept under that name."""
    box = gr.Image(
        label=label,
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        height=height,
        interactive=False,
        buttons=[],
        elem_id=f"{place}-photo",
    )
    picker = gr.Radio(label="Which face?", choices=[], visible=False, elem_id=f"{place}-face")
    note = gr.Markdown(elem_id=f"{place}-note")
    # Without gradio's preprocessing: it would decode the picture before facesep.images checks it.
    read = [
        box.upload(handlers.reader(place), [box, consent], [box, picker, note], preprocess=False, **GROUP),
        picker.input(handlers.chooser(place), [picker, consent], [box, note], **GROUP),
    ]
    box.clear(handlers.clearer(place), None, [picker, note], queue=False, api_visibility="private")
    return Photo(box, picker, note, read)


def result_slider(name: str, label: str = "Before (the photo) and after") -> gr.ImageSlider:
    """Two pictures over each other."""
    return gr.ImageSlider(
        label=label,
        type="filepath",
        interactive=False,
        buttons=["fullscreen"],
        max_height=420,
        elem_id=name,
    )


def result_video(name: str, label: str) -> gr.Video:
    """A video that plays again and again, and can be downloaded."""
    return gr.Video(
        label=label,
        interactive=False,
        autoplay=True,
        loop=True,
        height=360,
        buttons=["download"],
        elem_id=name,
    )


def difference_view(handlers: Handlers, before: str, after: str, result: gr.ImageSlider) -> None:
    """A box below a result that shows where it differs from the unchanged face, when it is asked for.

    Args:
        handlers: the page's events.
        before: where the face of the photo is kept.
        after: where the codes of the result are kept.
        result: the result, at whose change the map changes.
    """
    wanted = gr.Checkbox(label="Show where the face changed", elem_id=f"{after}-difference-wanted")
    picture = gr.Image(
        label="Darker where it changed more",
        type="filepath",
        height=300,
        interactive=False,
        visible=False,
        buttons=["download", "fullscreen"],
        elem_id=f"{after}-difference",
    )
    show = handlers.difference(before, after)
    gr.on([wanted.input, result.change], show, wanted, picture, show_progress="hidden", **GROUP)


def stop_button(button: gr.Button, handlers: Handlers, events: list[Any]) -> None:
    """Makes a button end events of this visitor: those that wait, and the one that runs."""
    button.click(handlers.stop, cancels=events, queue=False, api_visibility="private")
