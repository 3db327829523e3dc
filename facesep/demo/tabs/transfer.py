"""The tab Transfer: attributes of a second face for a first one."""

from __future__ import annotations

import gradio as gr

from facesep.codes import ATTRIBUTES
from facesep.demo import actions
from facesep.demo.examples import EXAMPLES, FOLDER
from facesep.demo.limits import MAX_STRENGTH, check_range
from facesep.demo.page import FACE, Page, Visit
from facesep.demo.widgets import LABELS, PhotoBox, Result, shown


class Transfer:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        self.page = page
        donor = PhotoBox(page, "donor", "Second photo: the face to take from", 240)
        self.attributes = gr.CheckboxGroup(
            [(LABELS[name], name) for name in ATTRIBUTES],
            value=["expression"],
            label="What to take from the second face",
            elem_id="attributes",
        )
        self.strength = gr.Slider(
            0, MAX_STRENGTH, 1, step=0.05, label="Strength (1 is the second face's, above 1 exaggerates)"
        )
        button = page.gate(
            gr.Button("Transfer", variant="primary", interactive=False, elem_id="transfer-button")
        )
        self.result = Result(page, "transfer", "result").buttons()
        self.result.map()
        examples = gr.Dataset(
            label="Examples: click one",
            components=["image", "image", "textbox"],
            headers=["First", "Second", "Taken from the second"],
            samples=[
                [
                    str(FOLDER / one.source),
                    str(FOLDER / one.donor),
                    ", ".join(LABELS[a] for a in one.attributes),
                ]
                for one in EXAMPLES
            ],
            type="index",
            elem_id="examples",
        )
        options, self.outputs = [self.attributes, self.strength], self.result.outputs
        self.remake = (self.again, options, self.outputs)
        self.make = (self.transfer, options, self.outputs)
        page.on(button.click, *self.make)
        changes = [self.attributes.input, self.strength.release]
        page.on(changes, *self.remake, trigger_mode="always_last", show_progress="minimal")
        parts = [*page.face.parts, *donor.parts, *options]
        self.example_shown = page.on(examples.click, self.example, [examples], parts)

    def transfer(self, visit: Visit, attributes: list[str], strength: float) -> tuple:
        """Gives the result."""
        source, donor = visit.face(which="your photo"), visit.face("donor", "the second photo")
        return self.result.show(
            visit, source, actions.transfer(source.face, donor.face, attributes, strength)
        )

    def again(self, visit: Visit, attributes: list[str], strength: float) -> tuple:
        """The same after a change of the options, once there is a result to change."""
        if not attributes or "result" not in visit.kept:
            return (gr.skip(),) * len(self.outputs)
        return self.transfer(visit, attributes, strength)

    def start(self, visit: Visit) -> tuple:
        """Nothing is made before the button is pressed."""
        return (gr.skip(),) * len(self.outputs)

    def empty(self, visit: Visit) -> tuple:
        """Forgets the result."""
        return self.result.empty(visit)

    def example(self, visit: Visit, index: int) -> tuple:
        """Puts two example photos into the boxes and sets the options."""
        check_range("example", index, 0, len(EXAMPLES) - 1)
        chosen = EXAMPLES[index]
        for place, name in ((FACE, chosen.source), ("donor", chosen.donor)):
            visit.kept[place] = visit.page.example(visit.sep, name)
        return (
            *shown(visit, visit.kept[FACE]),
            *shown(visit, visit.kept["donor"]),
            list(chosen.attributes),
            1.0,
        )
