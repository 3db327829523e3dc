"""A link to the settings of the page, and a page that opens with the settings of a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from facesep.demo import actions
from facesep.demo.actions import Subject
from facesep.demo.directions import PLACES
from facesep.demo.handlers import LINKED_MOVES, LINKED_VIEW, Handlers, plain_errors
from facesep.demo.links import MIXED, Settings, read, write

INTRO = (
    "A link holds the settings: the tab, what is taken from whom, strength, view, and how far sliders were "
    "moved, in steps of a quarter. It holds no photo, no code and no consent: whoever opens it uploads "
    "photos of their own."
)
_HERE = "query => [window.location.origin + window.location.pathname + '?' + query]"


@dataclass(frozen=True)
class Fields:
    """The components that hold settings."""

    tabs: gr.Tabs
    model: gr.Dropdown
    attributes: gr.CheckboxGroup
    strength: gr.Slider
    mix: Sequence[gr.Dropdown]
    view: Sequence[gr.Slider]
    sliders: Sequence[gr.Slider]


class Share:
    """The part of the page with its events."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers

    def add(self, page: gr.Blocks, fields: Fields) -> None:
        """Lays it out, and reads the link with which the page was opened."""
        opened = gr.Textbox("transfer", visible=False)
        query = gr.Textbox(visible=False)
        with gr.Accordion("Share these settings by a link", open=False, elem_id="share"):
            gr.Markdown(INTRO)
            button = gr.Button("Make a link", elem_id="share-button")
            link = gr.Textbox(
                label="Link to these settings", interactive=False, buttons=["copy"], elem_id="share-link"
            )
        quick = {"queue": False, "api_visibility": "private"}
        for tab in fields.tabs.children:
            tab.select(None, None, opened, js=f"() => ['{tab.id}']", **quick)
        set_here = [fields.attributes, fields.strength, *fields.mix, *fields.view]
        made = button.click(
            plain_errors(self.make), [opened, fields.model, *set_here, *fields.sliders], query, **quick
        )
        made.then(None, query, link, js=_HERE, **quick)
        page.load(
            plain_errors(self.open),
            query,
            [fields.tabs, opened, fields.model, *set_here],
            js="() => [window.location.search]",
            **quick,
        )

    def make(
        self, request: gr.Request, tab: str, model: str, attributes: list[str], strength: float, *others: Any
    ) -> str:
        """Gives the query. What the page set from a photo by itself stays out, whatever the photo."""
        session = self.handlers.sessions.get(request.session_hash)
        mix, (yaw, pitch), values = others[:4], others[4:6], others[6:]
        face = session.kept.get("turn")
        own = [round(one) for one in actions.angles(face.codes)] if isinstance(face, Subject) else [0, 0]
        start = session.kept.get("edit start")
        moves = [value - there for value, there in zip(values, start, strict=True)] if start else []
        names = self.handlers.models.names
        return write(
            Settings(
                tab=tab,
                model=model if model in names[1:] else None,
                attributes=tuple(attributes),
                strength=strength if strength != 1 else None,
                mix=tuple(mix) if tuple(mix) != MIXED else (),
                yaw=yaw if yaw != own[0] else None,
                pitch=pitch if pitch != own[1] else None,
                moves=dict(zip(PLACES, moves, strict=False)),
            )
        )

    def open(self, query: str, request: gr.Request) -> list[Any]:
        """Sets what a link says, and keeps for the first face what needs one."""
        found = read(query, self.handlers.models.names)
        if found == Settings():
            return [gr.skip()] * 11
        session = self.handlers.sessions.get(request.session_hash)
        session.model = found.model or session.model
        session.kept |= {LINKED_MOVES: found.moves, LINKED_VIEW: (found.yaw, found.pitch)}
        return [
            gr.update(selected=found.tab) if found.tab else gr.skip(),
            found.tab or gr.skip(),
            found.model or gr.skip(),
            list(found.attributes) or gr.skip(),
            gr.skip() if found.strength is None else found.strength,
            *(found.mix or [gr.skip()] * len(MIXED)),
            gr.skip() if found.yaw is None else found.yaw,
            gr.skip() if found.pitch is None else found.pitch,
        ]
