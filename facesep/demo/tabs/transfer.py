"""The tab Transfer: attributes of a second face for a first one."""

from __future__ import annotations

import gradio as gr

from facesep.codes import ATTRIBUTES
from facesep.demo import actions
from facesep.demo.examples import EXAMPLES, FOLDER
from facesep.demo.limits import MAX_STRENGTH, check_range
from facesep.demo.page import Page, Visit
from facesep.demo.widgets import LABELS, PhotoBox, Result, shown


class Transfer:
    """The tab with its events."""

    def __init__(self, page: Page) -> None:
        self.page = page
        with gr.Row():
            with gr.Column(min_width=160):
                source = PhotoBox(page, "source", "First photo: the face to change")
            with gr.Column(min_width=160):
                donor = PhotoBox(page, "donor", "Second photo: the face to take from")
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
        self.result = Result(page, "result", "source")
        with gr.Row():
            self.result.buttons()
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
        options, outputs = [self.attributes, self.strength], self.result.outputs
        page.on(button.click, self.transfer, options, outputs)
        page.on(
            [self.attributes.input, self.strength.release],
            self.again,
            [*options, page.consent],
            outputs,
            consent=False,
            trigger_mode="always_last",
            show_progress="minimal",
        )
        page.on(examples.click, self.example, [examples], [*source.parts, *donor.parts, *options, *outputs])

    def transfer(self, visit: Visit, attributes: list[str], strength: float) -> tuple:
        """Gives the result."""
        source, donor = visit.face("source", "the first photo"), visit.face("donor", "the second photo")
        return self.result.show(
            visit, source, actions.transfer(source.face, donor.face, attributes, strength)
        )

    def again(self, visit: Visit, attributes: list[str], strength: float, consent: bool) -> tuple:
        """The same after a change of the options, once there is a result to change."""
        if not (consent is True and attributes and "result" in visit.kept):
            return (gr.skip(),) * 3
        return self.transfer(visit, attributes, strength)

    def example(self, visit: Visit, index: int) -> tuple:
        """Puts two example photos into the boxes, sets the options and gives the result."""
        check_range("example", index, 0, len(EXAMPLES) - 1)
        chosen = EXAMPLES[index]
        for place, name in (("source", chosen.source), ("donor", chosen.donor)):
            visit.kept[place] = visit.page.example(visit.sep, name)
        boxes = (*shown(visit, visit.kept["source"]), *shown(visit, visit.kept["donor"]))
        options = (list(chosen.attributes), 1.0)
        return (*boxes, *options, *self.transfer(visit, *options))
