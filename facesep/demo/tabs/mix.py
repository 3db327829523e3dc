"""The tab Mix: up to four other faces, one attribute from each."""

from __future__ import annotations

from typing import Any

import gradio as gr

from facesep.codes import ATTRIBUTES
from facesep.demo import actions
from facesep.demo.handlers import PICTURE, Handlers, plain_errors
from facesep.demo.limits import MAX_DONORS, check_consent
from facesep.demo.links import MIXED, NOTHING
from facesep.demo.widgets import GROUP, LABELS, difference_view, photo_box, result_slider
from facesep.errors import CodesError

PLACES = tuple(f"mix{number}" for number in range(1, MAX_DONORS + 1))


class Mix:
    """The tab with its events."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers

    def add(self, consent: gr.Checkbox) -> tuple[list[Any], gr.Button]:
        """Lays the tab out; gives what consent enables, and the button that turns the result."""
        base = photo_box(self.handlers, "mix", "The face to change", consent)
        boxes, choices = [], []
        self.choices = choices
        for pair in (PLACES[:2], PLACES[2:]):
            with gr.Row():
                for place in pair:
                    number = PLACES.index(place)
                    with gr.Column(min_width=160):
                        boxes.append(
                            photo_box(self.handlers, place, f"Other face {number + 1}", consent, 200)
                        )
                        choices.append(
                            gr.Dropdown(
                                [("Nothing", NOTHING), *((LABELS[name], name) for name in ATTRIBUTES)],
                                value=MIXED[number],
                                label="What to take from it",
                                filterable=False,
                                elem_id=f"{place}-attribute",
                            )
                        )
        button = gr.Button("Mix", variant="primary", interactive=False, elem_id="mix-button")
        result = result_slider("mixed")
        with gr.Row():
            download = gr.DownloadButton("Download the result", interactive=False, elem_id="mix-download")
            turn = gr.Button("Turn this face", interactive=False, elem_id="mix-turn")
        difference_view(self.handlers, "mix", "mixed", result)
        button.click(plain_errors(self.mix), [*choices, consent], [result, download, turn], **GROUP)
        return [base.box, *(one.box for one in boxes), button], turn

    def mix(
        self, first: str, second: str, third: str, fourth: str, consent: bool, request: gr.Request
    ) -> tuple[tuple[str, str], dict, dict]:
        """Gives before and after, the download and the button that turns the result.

        Boxes without a photo are left out.
        """
        check_consent(consent)
        session = self.handlers.sessions.get(request.session_hash)
        base = self.handlers.face(session, "mix", "the photo of the face to change")
        donors = []
        for place, name in zip(PLACES, (first, second, third, fourth), strict=True):
            if name != NOTHING and self.handlers.has_photo(session, place):
                which = f"the photo of other face {place.removeprefix('mix')}"
                donors.append((name, self.handlers.face(session, place, which).codes))
        if not donors:
            raise CodesError("there is no other face yet: upload one and choose what to take from it")
        codes, picture = actions.mix(
            self.handlers.model(session), base.codes, donors, self.handlers.refine(session)
        )
        session.kept["mixed"] = codes
        before = str(session.write("photo.jpg", base.picture))
        after = str(session.write(PICTURE, picture))
        return (before, after), gr.update(value=after, interactive=True), gr.update(interactive=True)
