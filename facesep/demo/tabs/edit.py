"""The tab Edit: sliders along directions of each attribute, which start where this face stands."""

from __future__ import annotations

import gradio as gr

from facesep.demo.limits import check_range
from facesep.demo.links import LINKED_MOVES
from facesep.demo.page import Page, Visit
from facesep.demo.photos import Subject
from facesep.demo.widgets import LABELS, PhotoBox, Result
from facesep.moves import GROUPS, PLACES, move, places
from facesep.moves import LARGEST as MAX_MOVE


class Edit:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        with gr.Row():
            with gr.Column(min_width=160):
                photo = PhotoBox(page, "edit", "Photo of the face to edit")
            with gr.Column(min_width=160):
                self.result = Result(page, "edited", "edit")
        self.sliders = []
        for attribute, count in GROUPS.items():
            with gr.Accordion(LABELS[attribute], open=attribute == "expression"):
                self.sliders += [
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
            self.result.buttons()
        self.result.map()
        outputs = [*self.result.outputs, reset]
        photo.then(self.start, [*self.sliders, *outputs])
        page.on(reset.click, self.start, [], [*self.sliders, *outputs], consent=False)
        page.on(
            [slider.input for slider in self.sliders],
            self.edit,
            self.sliders,
            outputs,
            trigger_mode="always_last",
            show_progress="hidden",
        )

    def start(self, visit: Visit) -> tuple:
        """After a new face: sliders with their names at its own values, moved as a link says; its picture."""
        if not isinstance(visit.kept.get("edit"), Subject):
            closed = gr.update(interactive=False)
            return (*[closed] * len(self.sliders), None, *[closed] * 3)
        found, moves = places(visit.directions()), visit.kept.pop(LINKED_MOVES, {})
        codes = visit.face("edit").codes
        own = [round(found[place].value(codes), 2) if place in found else 0.0 for place in PLACES]
        visit.kept["edit start"] = own
        values = [
            max(-MAX_MOVE, min(MAX_MOVE, value + moves.get(place, 0.0))) if place in found else 0.0
            for place, value in zip(PLACES, own, strict=True)
        ]
        sliders = [
            gr.update(value=value, label=found[place].name, interactive=True, visible=True)
            if place in found
            else gr.update(visible=False)  # this model has fewer moves
            for place, value in zip(PLACES, values, strict=True)
        ]
        return (*sliders, *self.edit(visit, *values))

    def edit(self, visit: Visit, *values: float) -> tuple:
        """Gives the result and the button that resets it; nothing as long as there is no face."""
        start = visit.kept.get("edit start")
        if start is None or not isinstance(visit.kept.get("edit"), Subject):
            return (gr.skip(),) * 4
        for value in values:
            check_range("a slider", value, -MAX_MOVE, MAX_MOVE)
        subject = visit.face("edit")
        amounts = [value - own for value, own in zip(values, start, strict=True)]
        found = places(visit.directions())
        moves = {
            found[place]: amount for place, amount in zip(PLACES, amounts, strict=True) if place in found
        }
        face = move(subject.face, moves)
        return (*self.result.show(visit, subject, face), gr.update(interactive=True))
