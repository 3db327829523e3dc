"""A link to the settings of the page, and a page that opens with the settings of a link."""

from __future__ import annotations

from typing import Any

import gradio as gr

from facesep.demo import actions
from facesep.demo.links import LINKED_MOVES, LINKED_VIEW, MIXED, Settings, read, write
from facesep.demo.page import FACE, Page, Visit
from facesep.demo.tabs.edit import START
from facesep.moves import PLACES

INTRO = (
    "A link holds the settings: the tab, what is taken from whom, strength, view, and how far sliders were "
    "moved, in steps of a quarter. It holds no photo, no code and no consent: whoever opens it uploads "
    "photos of their own."
)
_HERE = "query => [window.location.origin + window.location.pathname + '?' + query]"


class Share:
    """The part of the page with its events.

    Args:
        page: the page.
        blocks: its layout, which opens with the settings of a link.
        tabs: all tabs.
        opened: the name of the tab that is open.
        model: the list of models.
        made: the tabs by name; they hold the components with settings.
    """

    def __init__(
        self,
        page: Page,
        blocks: gr.Blocks,
        tabs: gr.Tabs,
        opened: gr.Textbox,
        model: gr.Dropdown,
        made: dict[str, Any],
    ) -> None:
        self.page = page
        query = gr.Textbox(visible=False)
        with gr.Accordion("Share these settings by a link", open=False, elem_id="share"):
            gr.Markdown(INTRO)
            button = gr.Button("Make a link", elem_id="share-button")
            link = gr.Textbox(
                label="Link to these settings", interactive=False, buttons=["copy"], elem_id="share-link"
            )
        transfer, sliders = made["transfer"], made["edit"].sliders
        settings = [transfer.attributes, transfer.strength, *made["mix"].choices, *made["turn"].view]
        quick = {"consent": False, "queue": False}
        asked = page.on(button.click, self.make, [opened, model, *settings, *sliders], query, **quick)
        asked.then(None, query, link, js=_HERE, queue=False, api_visibility="private")
        page.on(
            blocks.load,
            self.open,
            [query],
            [tabs, opened, model, *settings],
            js="() => [window.location.search]",
            **quick,
        )

    def make(
        self, visit: Visit, tab: str, model: str, attributes: list[str], strength: float, *others: Any
    ) -> str:
        """Gives the query. What the page set from a photo by itself stays out, whatever the photo."""
        mix, (yaw, pitch), values = others[:4], others[4:6], others[6:]
        view = [round(one) for one in actions.angles(visit.kept[FACE].codes)] if visit.has_face() else [0, 0]
        at = dict(zip(PLACES, values, strict=True))
        moves = {place: at[place] - own for place, own in visit.kept.get(START, {}).items()}
        names = self.page.models.names
        return write(
            Settings(
                tab=tab,
                model=model if model in names[1:] else None,
                attributes=tuple(attributes),
                strength=strength if strength != 1 else None,
                mix=tuple(mix) if tuple(mix) != MIXED else (),
                yaw=yaw if yaw != view[0] else None,
                pitch=pitch if pitch != view[1] else None,
                moves=moves,
            )
        )

    def open(self, visit: Visit, query: str) -> list[Any]:
        """Sets what a link says, and keeps for the first face what needs one."""
        found = read(query, self.page.models.names)
        if found == Settings():
            return [gr.skip()] * 11
        visit.session.model = found.model or visit.session.model
        visit.kept.update({LINKED_MOVES: found.moves, LINKED_VIEW: (found.yaw, found.pitch)})
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
