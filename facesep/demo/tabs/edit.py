"""The tab Edit: sliders along the named moves of each attribute, which start where this face stands."""

from __future__ import annotations

import gradio as gr

from facesep.demo.limits import check_range
from facesep.demo.links import LINKED_MOVES
from facesep.demo.page import FACE, Page, Visit
from facesep.demo.widgets import LABELS, Result
from facesep.moves import GROUPS, PLACES, move, places
from facesep.moves import LARGEST as MAX_MOVE

START = "edit start"
"""Where a visit keeps the places at which its face stood on the sliders."""


class Edit:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        self.result = Result(page, "edit", "edited")
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
                        visible=False,
                        elem_id=f"edit-{attribute}-{number}",
                    )
                    for number in range(1, count + 1)
                ]
        reset = gr.Button("All sliders back", interactive=False, elem_id="edit-reset")
        self.result.buttons()
        self.result.map()
        shown = [*self.result.outputs, reset]
        self.outputs = [*self.sliders, *shown]
        self.remake = (self.edit, self.sliders, shown)
        page.on(reset.click, self.start, [], self.outputs)
        moved = [slider.input for slider in self.sliders]
        page.on(moved, self.moved, self.sliders, shown, trigger_mode="always_last", show_progress="hidden")

    def start(self, visit: Visit) -> tuple:
        """For a new face: sliders with their names at its own values, moved as a link says; its picture."""
        found, moves = places(visit.directions()), visit.kept.pop(LINKED_MOVES, {})
        codes = visit.face().codes
        own = {place: round(one.value(codes), 2) for place, one in found.items()}
        visit.kept[START] = own
        values = {
            place: max(-MAX_MOVE, min(MAX_MOVE, value + moves.get(place, 0.0)))
            for place, value in own.items()
        }
        sliders = [
            gr.update(value=values[place], label=found[place].name, visible=True)
            if place in found
            else gr.update(value=0, visible=False)
            for place in PLACES
        ]
        return *sliders, *self.edit(visit, *[values.get(place, 0.0) for place in PLACES])

    def empty(self, visit: Visit) -> tuple:
        """No result, and sliders go."""
        visit.kept.pop(START, None)
        hidden = [gr.update(visible=False)] * len(self.sliders)
        return *hidden, *self.result.empty(visit), gr.update(interactive=False)

    def moved(self, visit: Visit, *values: float) -> tuple:
        """The same where a slider was moved; it shows only with a face, which may be kept no longer."""
        visit.face(which="your photo")
        return self.edit(visit, *values)

    def edit(self, visit: Visit, *values: float) -> tuple:
        """Gives the result and the button that resets it; nothing as long as there is no face."""
        start = visit.kept.get(START)
        if start is None or not visit.has_face():
            return (gr.skip(),) * (len(self.result.outputs) + 1)
        for value in values:
            check_range("a slider", value, -MAX_MOVE, MAX_MOVE)
        subject, found = visit.face(FACE), places(visit.directions())
        at = dict(zip(PLACES, values, strict=True))
        face = move(subject.face, {found[place]: at[place] - own for place, own in start.items()})
        return *self.result.show(visit, subject, face), gr.update(interactive=True)
