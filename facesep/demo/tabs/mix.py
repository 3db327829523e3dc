"""The tab Mix: up to four other faces, one attribute from each."""

from __future__ import annotations

import gradio as gr

from facesep.codes import ATTRIBUTES
from facesep.demo import actions
from facesep.demo.limits import MAX_DONORS
from facesep.demo.links import MIXED, NOTHING
from facesep.demo.page import Page, Visit
from facesep.demo.widgets import LABELS, PhotoBox, Result
from facesep.errors import CodesError


class Mix:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        self.choices = []
        for first in range(1, MAX_DONORS, 2):
            with gr.Row():
                for number in (first, first + 1):
                    with gr.Column(min_width=160):
                        PhotoBox(page, f"mix{number}", f"Other face {number}", 200)
                        self.choices.append(
                            gr.Dropdown(
                                [("Nothing", NOTHING), *((LABELS[name], name) for name in ATTRIBUTES)],
                                value=MIXED[number - 1],
                                label="What to take from it",
                                filterable=False,
                                elem_id=f"mix{number}-attribute",
                            )
                        )
        button = page.gate(gr.Button("Mix", variant="primary", interactive=False, elem_id="mix-button"))
        self.result = Result(page, "mix", "mixed").buttons()
        self.result.map()
        self.outputs = self.result.outputs
        self.remake = (self.again, self.choices, self.outputs)
        page.on(button.click, self.mix, self.choices, self.outputs)

    def mix(self, visit: Visit, *chosen: str) -> tuple:
        """Gives the result; boxes without a photo are left out."""
        base = visit.face(which="your photo")
        donors = [
            (name, visit.face(f"mix{number}").face)
            for number, name in enumerate(chosen, 1)
            if name != NOTHING and f"mix{number}" in visit.kept
        ]
        if not donors:
            raise CodesError("there is no other face yet: upload one and choose what to take from it")
        return self.result.show(visit, base, actions.mix(base.face, donors))

    def again(self, visit: Visit, *chosen: str) -> tuple:
        """The same after a change of how results are shown, once there is a result."""
        return self.mix(visit, *chosen) if "mixed" in visit.kept else (gr.skip(),) * len(self.outputs)

    def start(self, visit: Visit) -> tuple:
        """Nothing is made before the button is pressed."""
        return (gr.skip(),) * len(self.outputs)

    def empty(self, visit: Visit) -> tuple:
        """Forgets the result."""
        return self.result.empty(visit)
