"""The tab Edit: sliders along directions of each attribute, which start where this face stands."""

from __future__ import annotations

from typing import Any

import gradio as gr

from facesep.demo import actions
from facesep.demo.actions import Subject
from facesep.demo.directions import GROUPS, PLACES
from facesep.demo.handlers import LINKED_MOVES, PICTURE, Handlers, plain_errors
from facesep.demo.limits import MAX_MOVE, check_consent, check_range
from facesep.demo.widgets import GROUP, LABELS, difference_view, photo_box, result_slider

COUNT = sum(GROUPS.values())


class Edit:
    """The tab with its events."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers

    def add(self, consent: gr.Checkbox) -> tuple[list[Any], gr.Button]:
        """Lays the tab out; gives what consent enables, and the button that turns the result."""
        with gr.Row():
            with gr.Column(min_width=160):
                photo = photo_box(self.handlers, "edit", "Photo of the face to edit", consent)
            with gr.Column(min_width=160):
                result = result_slider("edited")
        sliders = self.sliders = []
        for attribute, count in GROUPS.items():
            with gr.Accordion(LABELS[attribute], open=attribute == "expression"):
                sliders += [
                    gr.Slider(
                        -MAX_MOVE,
                        MAX_MOVE,
                        0,
                        step=0.05,
                        label=f"{LABELS[attribute]} {number}",
                        interactive=False,
                        elem_id=f"edit-{attribute}-{number}",
                    )
                    for number in range(1, count + 1)
                ]
        with gr.Row():
            reset = gr.Button("Back to the photo", interactive=False, elem_id="edit-reset")
            download = gr.DownloadButton("Download the result", interactive=False, elem_id="edit-download")
            turn = gr.Button("Turn this face", interactive=False, elem_id="edit-turn")

        difference_view(self.handlers, "edit", "edited", result)
        outputs = [result, download, turn, reset]
        for event in photo.read:
            event.then(plain_errors(self.start), None, [*sliders, *outputs], **GROUP)
        reset.click(plain_errors(self.start), None, [*sliders, *outputs], **GROUP)
        gr.on(
            [slider.input for slider in sliders],
            plain_errors(self.edit),
            [consent, *sliders],
            outputs,
            trigger_mode="always_last",
            show_progress="hidden",
            **GROUP,
        )
        return [photo.box], turn

    def start(self, request: gr.Request) -> tuple:
        """After a new face: sliders with their names at its own values, moved as a link says; its picture."""
        session = self.handlers.sessions.get(request.session_hash)
        if not isinstance(session.kept.get("edit"), Subject):
            nothing = gr.update(interactive=False)
            return (*[nothing] * COUNT, None, *[nothing] * 3)
        subject = self.handlers.face(session, "edit")
        found, moves = self.handlers.directions(session), session.kept.pop(LINKED_MOVES, {})
        own = [round(one.value(subject.codes), 2) for one in found]
        values = [
            max(-MAX_MOVE, min(MAX_MOVE, value + moves.get(place, 0.0)))
            for place, value in zip(PLACES, own, strict=True)
        ]
        updates = [
            gr.update(value=value, label=one.name, interactive=True)
            for one, value in zip(found, values, strict=True)
        ]
        session.kept["edit start"] = own
        amounts = [value - there for value, there in zip(values, own, strict=True)]
        return (*updates, *self._edited(request, amounts))

    def edit(self, request: gr.Request, consent: bool, *values: float) -> tuple:
        """Gives before and after, download and buttons; nothing as long as there is no face."""
        check_consent(consent)
        session = self.handlers.sessions.get(request.session_hash)
        start = session.kept.get("edit start")
        if start is None or not isinstance(session.kept.get("edit"), Subject):
            return (gr.skip(),) * 4
        for value in values:
            check_range("a slider", value, -MAX_MOVE, MAX_MOVE)
        return self._edited(request, [value - own for value, own in zip(values, start, strict=True)])

    def _edited(self, request: gr.Request, amounts: list[float]) -> tuple:
        session = self.handlers.sessions.get(request.session_hash)
        subject = self.handlers.face(session, "edit")
        moves = dict(zip(self.handlers.directions(session), amounts, strict=True))
        codes, picture = actions.edit(
            self.handlers.model(session), subject.codes, moves, self.handlers.refine(session)
        )
        session.kept["edited"] = codes
        before = str(session.write("photo.jpg", subject.picture))
        after = str(session.write(PICTURE, picture))
        enabled = gr.update(interactive=True)
        return (before, after), gr.update(value=after, interactive=True), enabled, enabled
